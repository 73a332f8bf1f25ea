/// What a tensor is for, whatever its name and wherever it lies.
package struct Role: Hashable, Sendable, CustomStringConvertible {
    /// The kinds of roles; the raw values are their names in the architecture files.
    package enum Kind: String, Sendable, Hashable, CaseIterable {
        case embedding
        case head
        case headBias = "head.bias"
        case finalNorm = "norm.final"
        case finalNormBias = "norm.final.bias"
        case inputNorm = "norm.input"
        case inputNormBias = "norm.input.bias"
        case postAttentionNorm = "norm.postAttention"
        case postAttentionNormBias = "norm.postAttention.bias"
        case preFeedForwardNorm = "norm.preFeedForward"
        case postFeedForwardNorm = "norm.postFeedForward"
        /// Of a dense network's output, where it stands beside the experts.
        case postDenseNorm = "norm.postDense"
        case preExpertsNorm = "norm.preExperts"
        case postExpertsNorm = "norm.postExperts"
        case layerScale = "layer.scale"
        case queryNorm = "norm.q"
        case keyNorm = "norm.k"
        case query = "attention.q"
        case key = "attention.k"
        case value = "attention.v"
        case output = "attention.o"
        case queryBias = "attention.q.bias"
        case keyBias = "attention.k.bias"
        case valueBias = "attention.v.bias"
        case outputBias = "attention.o.bias"
        case sinks = "attention.sinks"
        case attentionGate = "attention.gate"
        case queryDown = "attention.qA"
        case queryDownBias = "attention.qA.bias"
        case queryDownNorm = "attention.qANorm"
        case queryUp = "attention.qB"
        case keyValueDown = "attention.kvA"
        case keyValueDownBias = "attention.kvA.bias"
        case keyValueDownNorm = "attention.kvANorm"
        case keyValueUp = "attention.kvB"
        case mixerIn = "mixer.in"
        case mixerInBias = "mixer.in.bias"
        case mixerGate = "mixer.gate"
        case mixerRates = "mixer.rates"
        case mixerStrength = "mixer.strength"
        case mixerStep = "mixer.step"
        case mixerStepBias = "mixer.step.bias"
        case mixerDecay = "mixer.decay"
        case mixerSkip = "mixer.skip"
        case mixerConvolution = "mixer.convolution"
        case mixerConvolutionBias = "mixer.convolution.bias"
        case mixerNorm = "norm.mixer"
        case mixerOut = "mixer.out"
        case mixerOutBias = "mixer.out.bias"
        case feedForwardGate = "feedForward.gate"
        case feedForwardUp = "feedForward.up"
        case feedForwardDown = "feedForward.down"
        case feedForwardGateBias = "feedForward.gate.bias"
        case feedForwardUpBias = "feedForward.up.bias"
        case feedForwardDownBias = "feedForward.down.bias"
        case router
        case routerBias = "router.bias"
        case routerCorrectionBias = "router.correctionBias"
        case routerNorm = "router.norm"
        case routerExpertScale = "router.expertScale"
        case expertGate = "expert.gate"
        case expertUp = "expert.up"
        case expertDown = "expert.down"
        case expertGateBias = "expert.gate.bias"
        case expertUpBias = "expert.up.bias"
        case expertDownBias = "expert.down.bias"
        case sharedExpertGate = "sharedExpert.gate"
        case sharedExpertUp = "sharedExpert.up"
        case sharedExpertDown = "sharedExpert.down"
        case sharedExpertGateBias = "sharedExpert.gate.bias"
        case sharedExpertUpBias = "sharedExpert.up.bias"
        case sharedExpertDownBias = "sharedExpert.down.bias"
        case sharedExpertRouter = "sharedExpert.router"
        /// What the family does not describe.
        case carried

        /// What its name begins with.
        private var group: Substring { rawValue.split(separator: ".", maxSplits: 1)[0] }
        /// Whether it belongs to a layer's feed-forward networks or their routers.
        package var isOfNetworks: Bool { ["feedForward", "router", "expert", "sharedExpert"].contains(group) }
        /// Whether it is a bias, which may as well be zero as absent.
        package var isBias: Bool { rawValue.hasSuffix(".bias") }
        /// Whether training leaves it: what only a balance without a loss moves, and buffers.
        package var isUntrained: Bool { self == .routerCorrectionBias || self == .layerScale }
        /// A bias of a gated network, whichever network it is.
        var networkBias: String? {
            isBias && isOfNetworks && group != "router" ? "network." + rawValue.dropFirst(group.count + 1) : nil
        }
    }

    package let kind: Kind
    /// The layer, for what each layer has.
    package let layer: Int?
    /// The expert, for what each routed expert has.
    package let expert: Int?
    /// The name, for what is carried under it.
    package let name: String?

    package init(_ kind: Kind, layer: Int? = nil, expert: Int? = nil) {
        self.kind = kind
        self.layer = layer
        self.expert = expert
        name = nil
    }

    /// A tensor that is carried under its own name.
    package init(carried name: String) {
        kind = .carried
        layer = nil
        expert = nil
        self.name = name
    }

    /// One of the three matrices of a gated feed-forward network.
    package enum Projection: CaseIterable, Sendable { case gate, up, down }

    package static func feedForward(_ layer: Int, _ projection: Projection) -> Role {
        switch projection {
        case .gate: Role(.feedForwardGate, layer: layer)
        case .up: Role(.feedForwardUp, layer: layer)
        case .down: Role(.feedForwardDown, layer: layer)
        }
    }

    package static func expert(_ layer: Int, _ expert: Int, _ projection: Projection) -> Role {
        switch projection {
        case .gate: Role(.expertGate, layer: layer, expert: expert)
        case .up: Role(.expertUp, layer: layer, expert: expert)
        case .down: Role(.expertDown, layer: layer, expert: expert)
        }
    }

    package static func sharedExpert(_ layer: Int, _ projection: Projection) -> Role {
        switch projection {
        case .gate: Role(.sharedExpertGate, layer: layer)
        case .up: Role(.sharedExpertUp, layer: layer)
        case .down: Role(.sharedExpertDown, layer: layer)
        }
    }

    package static func router(_ layer: Int) -> Role { Role(.router, layer: layer) }

    package var description: String {
        if let name { return name }
        return kind.rawValue + (layer.map { " of layer \($0)" } ?? "") + (expert.map { ", expert \($0)" } ?? "")
    }
}
