import Checkpoints
import Glibc
import Safetensors

/// Models that are smaller than their budget's optimum, and cheaper to serve: the two algorithms of Yun et al. 2024
/// (2404.02852, section 6).
///
/// The base model has E experts and the lowest loss L_E that budget B buys; I_E is what a token of it costs. A model of
/// another number of experts gets the same budget: what it does not spend on size it spends on tokens.
package struct Overtraining: Sendable {
    package let budget: BudgetPlan
    package let serving: ServingPlan
    package let promptTokens: Double
    package let outputTokens: Double

    package init(budget: BudgetPlan, serving: ServingPlan, promptTokens: Double, outputTokens: Double) {
        self.budget = budget
        self.serving = serving
        self.promptTokens = promptTokens
        self.outputTokens = outputTokens
    }

    /// A model with what a token of it costs.
    package struct Choice: Sendable {
        package let candidate: BudgetPlan.Candidate
        package let estimate: ServingPlan.Estimate

        package var cost: Double { estimate.dollarsPerMillionTokens }
    }

    /// The model of the lowest loss, and what it costs.
    ///
    /// - Throws: `CheckpointError.usage` where the budget buys none, or no number of devices serves it.
    package func base(experts: Double) throws -> Choice {
        let candidate = try budget.optimum(experts: experts)
        guard let choice = choice(candidate) else {
            throw CheckpointError(
                .usage,
                message: "the best model of \(shortText(experts)) experts has \(shortText(candidate.sizes.total)) "
                    + "parameters, and \(serving.largestDeviceCount) of \(serving.hardware.name) do not serve it: "
                    + "raise `devices`, or lower `flops`")
        }
        return choice
    }

    /// Algorithm 1, bounded loss: the cheapest model of so many experts that reaches the loss. Below the size of the
    /// lowest loss the loss falls with N, and cost rises with N: it is the smaller of the two sizes that have the loss.
    ///
    /// - Returns: nil where the budget does not reach the loss, or no device serves the model.
    package func boundedLoss(_ loss: Double, experts: Double) throws -> Choice? {
        let optimum = try budget.optimum(experts: experts)
        guard optimum.loss <= loss else { return nil }
        let least = try budget.sizes(experts: experts).logarithms.lowerBound
        let most = log(optimum.point.parameters)
        // The largest size that is still too bad; the one above it is the answer.
        let logarithm = last(from: least, to: most) { budget.candidate(exp($0), experts).loss > loss }
        let candidate = budget.candidate(exp(logarithm), experts)
        return choice(candidate.loss <= loss * (1 + 1e-9) ? candidate : optimum)
    }

    /// Algorithm 2, bounded cost: the model of the lowest loss among those of so many experts whose token costs no more.
    /// Cost rises with N, so it is the largest that does, or the loss-optimal one where that is cheaper still.
    ///
    /// - Returns: nil where no model is that cheap.
    package func boundedCost(_ cost: Double, experts: Double) throws -> Choice? {
        let optimum = try budget.optimum(experts: experts)
        if let choice = choice(optimum), choice.cost <= cost { return choice }
        let least = try budget.sizes(experts: experts).logarithms.lowerBound
        func isCheap(_ logarithm: Double) -> Bool {
            choice(budget.candidate(exp(logarithm), experts)).map { $0.cost <= cost } ?? false
        }
        // Sizes below those of a table of latencies are not served at all: the cheap ones need not begin at the smallest.
        let (most, steps) = (log(optimum.point.parameters), 400)
        let step = (most - least) / Double(steps)
        guard let cheap = (0...steps).last(where: { isCheap(least + Double($0) * step) }) else { return nil }
        let low = least + Double(cheap) * step
        let logarithm = last(from: low, to: min(low + step, most), where: isCheap)
        return choice(budget.candidate(exp(logarithm), experts))
    }

    /// Cost over loss for models of one number of experts from much overtrained to the optimum, as a curve.
    package func curve(experts: Double, count: Int = 64) throws -> [Choice] {
        let most = log(try budget.optimum(experts: experts).point.parameters)
        let least = max(try budget.sizes(experts: experts).logarithms.lowerBound, most - log(100))
        let steps = max(count - 1, 1)
        return (0...steps).compactMap { step in
            choice(budget.candidate(exp(least + Double(step) / Double(steps) * (most - least)), experts))
        }
    }

    private func choice(_ candidate: BudgetPlan.Candidate) -> Choice? {
        let model = ServedModel(
            sizes: candidate.sizes, bytesPerParameter: budget.bytesPerParameter, promptTokens: promptTokens,
            outputTokens: outputTokens)
        return serving.cheapest(model).map { Choice(candidate: candidate, estimate: $0) }
    }
}
