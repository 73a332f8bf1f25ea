/// Everything a build script needs: opening, transforming and writing checkpoints, and safetensors files themselves.
@_exported import Checkpoints
@_exported import Safetensors
@_exported import Transforms
