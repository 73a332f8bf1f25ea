import MoEToolkit
import Safetensors

extension LossChange {
    /// What the user is told: a table, a row for each domain.
    var remark: String? {
        guard let after else { return nil }
        var table = TextTable([.left, .right, .right, .right])
        table.add("loss", "before", "after", "change")
        func row(_ name: String, _ before: Double, _ after: Double) {
            let change = after - before
            table.add(
                name, fixedText(before, digits: 4), fixedText(after, digits: 4),
                (change < 0 ? "-" : "+") + fixedText(abs(change), digits: 4))
        }
        for (old, new) in zip(before.domains, after.domains) { row(escaped(old.name), old.loss, new.loss) }
        if before.domains.count > 1 { row("mean", before.loss, after.loss) }
        return table.text.hasSuffix("\n") ? String(table.text.dropLast()) : table.text
    }
}

extension WeightLoss {
    /// What is expected, in a sentence.
    ///
    /// - Parameter isExact: whether the result computes the same where the weights lose nothing.
    func sentence(isExact: Bool) -> String {
        if isNone {
            return isExact
                ? "Expected loss: none. The experts of each layer are one network, to rounding."
                : "Expected loss: the weights lose nothing."
        }
        guard mean != nil else { return "Expected loss: \(share)." }
        var text = "Expected loss: \(share)"
        if layers.count < layerCount, let layer = layers.keys.first {
            text += ", in layer \(layer) of \(layerCount)"
        } else if let worst, layers.count > 1 {
            text += ", most in layer \(worst.layer) with \(percentText(worst.share))"
        }
        return text + "; --data measures it on text."
    }
}

extension OutputVerification {
    /// What the user is told.
    var remark: String? { comparison.map { "Verified: \($0.summary)." } }
}

extension OutputComparison {
    /// The comparison in a sentence without its full stop.
    var summary: String {
        "on \(tokens) tokens the logits differ by at most \(numberText(maximumDifference)) (mean "
            + "\(numberText(meanDifference))), KL \(numberText(meanDivergence)) nats, the likeliest token is the same for "
            + "\(percentText(agreement))"
    }
}
