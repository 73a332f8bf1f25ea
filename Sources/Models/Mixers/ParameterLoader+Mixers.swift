import Checkpoints
import Numerics

extension ParameterLoader {
    func gatedConvolution(_ layer: Int) throws -> ConvolutionParameters {
        ConvolutionParameters(
            projection: try linear([(.mixerIn, .mixerInBias)], layer), convolution: try convolution(layer),
            output: try linear([(.mixerOut, .mixerOutBias)], layer))
    }

    func mamba(_ layer: Int) throws -> MambaParameters {
        MambaParameters(
            projection: try linear([(.mixerIn, .mixerInBias)], layer), convolution: try convolution(layer),
            decay: try vectorWeights(.mixerDecay, layer), stepBias: try vectorWeights(.mixerStepBias, layer),
            skip: try vectorWeights(.mixerSkip, layer), norm: try norm(.mixerNorm, layer),
            output: try linear([(.mixerOut, .mixerOutBias)], layer))
    }

    func gatedDeltaNet(_ layer: Int) throws -> DeltaParameters {
        // Strengths and steps in one matrix, or in one each behind the gate's.
        let kinds: [Role.Kind] =
            has(.mixerRates, layer) ? [.mixerIn, .mixerRates] : [.mixerIn, .mixerGate, .mixerStrength, .mixerStep]
        return DeltaParameters(
            projection: try linear(kinds.map { ($0, nil) }, layer), convolution: try convolution(layer),
            decay: try vectorWeights(.mixerDecay, layer), stepBias: try vectorWeights(.mixerStepBias, layer),
            norm: try norm(.mixerNorm, layer), output: try linear([(.mixerOut, .mixerOutBias)], layer))
    }
}
