import ArgumentParser
import Checkpoints
import MoEToolkit
import Packing
import Safetensors

struct Inspect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a checkpoint is, and anything wrong with it.",
        discussion: """
            PATH is a checkpoint's folder, one .safetensors or .mtz file, or org/name[@revision] in the local Hugging Face \
            cache. Weights are not read, only headers. Exits 4 when the tensors and the configuration do not fit \
            together.
            """)

    @Argument(help: "A checkpoint's folder, a .safetensors or .mtz file, or org/name[@revision].", completion: .file())
    var path = "."

    @Flag(help: "List every tensor: name, dtype, shape, file.")
    var tensors = false

    @OptionGroup var reporting: ReplacingReportOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let page = try reporting.file()
        let inspection = try inspect(path)
        try page?.write(Report(inspection, at: path, tensors: tensors), common)
        if common.json {
            try standardOutput(JSON.object(inspection.json(tensors: tensors)).serialized())
        } else {
            try standardOutput(text(of: inspection), terminator: "")
        }
        if !inspection.problems.isEmpty { throw ExitStatus(code: 4) }
    }

    private func text(of inspection: Inspection) -> String {
        var table = TextTable([.left, .left])
        if let model = inspection.model {
            table.add("family", "\(model.family) (\(model.architecture))")
            table.add("layers", model.layersText)
            if let mixers = model.mixers {
                table.add("mixers", mixers.map { "\($0.name) in \($0.layers.count)" }.joined(separator: ", "))
                table.add(
                    "kept",
                    "\(countText(model.keptElements.token)) values a token, \(countText(model.keptElements.sequence)) a "
                        + "sequence")
            }
            table.add("hidden size", "\(model.hidden), feed-forward \(model.feedForward)")
            table.add(
                "attention",
                "\(model.heads) heads of \(model.headDimension), \(model.keyValueHeads) for keys and values")
            table.add("vocabulary", "\(model.vocabulary)\(model.isTied ? ", embedding and head tied" : "")")
            if let experts = model.experts {
                table.add("experts", "\(experts.count) per layer, top-\(experts.topK), width \(experts.width)")
                if let shared = experts.sharedWidth { table.add("shared expert", "width \(shared)") }
                table.add("layout", experts.layout)
            }
        }
        if let parameters = inspection.parameters {
            let active =
                parameters.active == parameters.total ? "" : ", \(countText(parameters.active)) active per token"
            table.add("parameters", countText(parameters.total) + active)
        }
        table.add(
            "tensors",
            "\(inspection.tensorCount) in \(inspection.files.count) \(inspection.files.count == 1 ? "file" : "files"), \(byteText(inspection.byteCount))"
        )
        table.add(
            "dtypes",
            inspection.dtypes.map { "\($0.dtype.rawValue) (\($0.tensors) tensors, \(byteText($0.bytes)))" }
                .joined(separator: ", "))
        if let quantised = inspection.quantisation {
            let formats = quantised.formats.map {
                "\($0.weights) weights \($0.name), \(fixedText($0.bitsPerWeight, digits: 2)) bits each"
            }
            table.add(
                "quantised",
                "\(quantised.method): " + (formats.isEmpty ? "no weights" : formats.joined(separator: "; ")))
            if !quantised.unquantised.isEmpty {
                table.add(
                    "not quantised", quantised.unquantised.map { "\($0.role) (\($0.tensors))" }.joined(separator: ", "))
            }
        }
        if let packed = inspection.packed {
            table.add(
                "packed",
                "\(byteText(packed.storedBytes)) of \(byteText(packed.rawBytes)), \(percentText(packed.share)); "
                    + "\(packed.unique) unique tensors, \(byteText(packed.uniqueBytes)); \(packed.shared) shared, "
                    + "\(packed.differences) as differences")
            let total = max(packed.codecs.values.reduce(0, +), 1)
            table.add(
                "codecs",
                PlaneCodec.allCases.map { codec in
                    "\(codec.name) \(percentText(Double(packed.codecs[codec] ?? 0) / Double(total)))"
                }.joined(separator: ", ") + " of the planes' bytes")
        }
        if inspection.model != nil {
            table.add(
                "tokenizer",
                inspection.tokenizerFiles.isEmpty ? "none" : inspection.tokenizerFiles.joined(separator: ", "))
        }
        var result = table.text
        if tensors {
            var list = TextTable([.left, .left, .left, .left])
            for tensor in inspection.tensors {
                list.add(escaped(tensor.name), tensor.dtype.rawValue, "\(tensor.shape)", escaped(tensor.file))
            }
            result += "\n" + list.text
        }
        for warning in inspection.warnings { result += "warning: \(warning)\n" }
        for problem in inspection.problems { result += "problem: \(problem)\n" }
        return result
    }
}
