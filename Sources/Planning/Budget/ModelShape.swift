import Checkpoints
import Glibc
import Safetensors

/// How a family of models grows: what turns a law's N into widths, parameters and FLOPs.
///
/// A layer has 4 d² parameters of attention and `feedForward` d² of a feed-forward network; the width is `aspect` times
/// the number of layers; embedding and head are 2 d V. Of every `mixtureEvery` layers one has E networks, of which a token
/// uses `topK`.
package struct ModelShape: Sendable, Hashable {
    /// Which parameters a law's N counts.
    package enum Counted: String, Sendable {
        case active
        case dense
        case total
    }

    package var counted: Counted
    package var topK: Double
    package var mixtureEvery: Double
    /// Parameters of a feed-forward network over d².
    package var feedForward: Double
    /// V; 0 where embeddings are left out of account.
    package var vocabulary: Double
    package var aspect: Double
    /// FLOPs of a router for a token and expert over d, forward and backward.
    package var routerFLOPs: Double
    /// Whether N counts embeddings; they have a size here only where there is a vocabulary.
    package var countsEmbeddings: Bool

    package init(
        counted: Counted, topK: Double = 1, mixtureEvery: Double = 1, feedForward: Double = 8, vocabulary: Double = 0,
        aspect: Double = 64, routerFLOPs: Double = 0, countsEmbeddings: Bool = true
    ) {
        self.counted = counted
        self.topK = topK
        self.mixtureEvery = mixtureEvery
        self.feedForward = feedForward
        self.vocabulary = vocabulary
        self.aspect = aspect
        self.routerFLOPs = routerFLOPs
        self.countsEmbeddings = countsEmbeddings
    }

    /// - Throws: `CheckpointError.usage` for a shape that no model has.
    package func check() throws {
        let positive = [
            ("`topK`", topK, 1.0), ("`mixtureEvery`", mixtureEvery, 1), ("`vocabulary`", vocabulary, 0),
            ("`aspect`", aspect, 1e-3),
        ]
        for (name, value, least) in positive where !(value >= least && value <= 1e9) {
            throw CheckpointError(
                .usage, message: "\(name) \(numberText(value)): a number from \(numberText(least)) to 1e9 is needed")
        }
    }

    /// Experts that a token of a model with E of them uses.
    package func selected(of experts: Double) -> Double { min(topK, experts) }

    /// A model of this shape.
    package func model(parameters: Double, experts: Double, granularity: Double = 1) -> ModelSizes {
        let selected = selected(of: experts)
        let multiplier: Double =
            switch counted {
            case .dense: 1
            case .active: selected
            case .total: experts
            }
        let linear = 2 * vocabulary
        let cubic = layerParameters(networks: multiplier) / aspect
        // Newton's method from above on an increasing convex function only descends, and cannot overshoot.
        var width = cbrt(parameters / cubic)
        if linear > 0 { width = min(width, parameters / linear) }
        for _ in 0..<100 {
            let step =
                (linear * width + cubic * width * width * width - parameters) / (linear + 3 * cubic * width * width)
            width -= step
            if abs(step) <= 1e-14 * width { break }
        }
        return model(width: width, experts: experts, granularity: granularity)
    }

    private func layerParameters(networks: Double) -> Double {
        4 + feedForward + feedForward / mixtureEvery * (networks - 1)
    }

    private func model(width: Double, experts: Double, granularity: Double) -> ModelSizes {
        let layers = width / aspect
        func parameters(_ networks: Double) -> Double {
            2 * vocabulary * width + layers * width * width * layerParameters(networks: networks)
        }
        let active = parameters(selected(of: experts))
        let router = experts > 1 ? routerFLOPs * width * experts * granularity * layers / mixtureEvery : 0
        return ModelSizes(
            dense: parameters(1), active: active, total: parameters(experts),
            expertParameters: layers * width * width * feedForward / mixtureEvery, experts: experts,
            selected: selected(of: experts), width: width, layers: layers,
            mixtureLayers: experts > 1 ? layers / mixtureEvery : 0, keyValueElements: 2 * layers * width,
            trainingFLOPs: 6 * active + router,
            inferenceFLOPs: 2 * active + router / 3)
    }
}

/// How large a model is.
package struct ModelSizes: Sendable, Hashable {
    /// Parameters of the model with one network in each layer.
    package var dense: Double
    /// Parameters that a token uses.
    package var active: Double
    /// All parameters.
    package var total: Double
    /// Parameters of one expert of every mixture layer.
    package var expertParameters: Double
    package var experts: Double
    /// Experts that a token uses.
    package var selected: Double
    package var width: Double
    package var layers: Double
    /// Layers that are mixtures.
    package var mixtureLayers: Double
    /// Elements of keys and values for a token.
    package var keyValueElements: Double
    /// Elements of what layers without attention keep of a sequence.
    package var stateElements: Double
    /// FLOPs for a token, forward and backward.
    package var trainingFLOPs: Double
    /// FLOPs for a token, forward alone, without the attention's over the context.
    package var inferenceFLOPs: Double

    package init(
        dense: Double, active: Double, total: Double, expertParameters: Double, experts: Double, selected: Double,
        width: Double, layers: Double, mixtureLayers: Double = 0, keyValueElements: Double,
        stateElements: Double = 0, trainingFLOPs: Double,
        inferenceFLOPs: Double
    ) {
        self.dense = dense
        self.active = active
        self.total = total
        self.expertParameters = expertParameters
        self.experts = experts
        self.selected = selected
        self.width = width
        self.layers = layers
        self.mixtureLayers = mixtureLayers
        self.keyValueElements = keyValueElements
        self.stateElements = stateElements
        self.trainingFLOPs = trainingFLOPs
        self.inferenceFLOPs = inferenceFLOPs
    }

    /// The parameters that a batch of tokens reads: with uniform routing an expert is missed by all of b tokens with
    /// probability (1 − K/E)^b.
    package func parametersRead(tokens: Double) -> Double {
        guard experts > selected else { return total }
        let used = experts * -expm1(tokens * log1p(-selected / experts))
        return total - (experts - used) * expertParameters
    }
}
