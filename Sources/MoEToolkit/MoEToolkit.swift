/// Everything a build script needs: what the command line can do, as values and functions.
@_exported import Checkpoints
@_exported import Evaluation
@_exported import Models
@_exported import Planning
@_exported import Reports
@_exported import Safetensors
@_exported import Tokenizers
@_exported import Training
@_exported import Transforms
