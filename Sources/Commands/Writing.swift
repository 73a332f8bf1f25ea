import Checkpoints
import MoEToolkit
import Numerics
import Safetensors

/// The output's default path: beside the input, named for it with a suffix.
func defaultOutput(for input: String, suffix: String) -> String {
    let (folder, name) = defaultPlace(for: input)
    return (folder.map { $0 + "/" } ?? "") + name + suffix
}

extension WritingOptions {
    /// Refuses an output before anything is read, allocated or measured for it. What is resumed is looked at later: it may be
    /// finished, or have leave to replace what is there.
    ///
    /// - Parameter inputs: the checkpoints that it is made from, none of which it may be a part of.
    func check(output: String, inputs: [String]) throws {
        guard !dryRun else { return }
        if gguf != nil {
            try OutputPath(output).checkReplacing(.gguf, overwrite: force)
        } else if !resume {
            try WorkFolder.check(output: output, overwrite: force)
        }
        // A name that is not found is told when it is opened.
        let folders = try inputs.compactMap { input -> String? in
            guard let path = try knownModelPath(input), try PosixFile.isFolder(path) else { return nil }
            return path
        }
        try OutputPath.checkOverlap(output, with: folders)
    }
}

/// Writes a checkpoint, or with `--dry-run` says what would be written, and reports.
///
/// - Parameters:
///   - remarks: sentences for the user; `details` is their form in the JSON document.
///   - check: what `--verify` compares the result's outputs with, where there is such a model.
///   - loss: what measures the result on text, where the transform cannot keep the function.
///   - finishing: what is done to the checkpoint last, after what the writing options ask for.
func write(
    _ checkpoint: Checkpoint, to output: String, writing: WritingOptions, common: CommonOptions, remarks: [String],
    details: JSONObject, check: ((Checkpoint) -> FunctionCheck)? = nil, loss: LossChange? = nil,
    finishing: (Checkpoint) throws -> Checkpoint = { $0 }
) async throws {
    var remarks = remarks
    var checkpoint = checkpoint
    checkpoint = try checkpoint.dropping(writing.drop)
    if let layout = writing.layout { checkpoint = try checkpoint.withLayout(layout) }
    if let dtype = try writing.parsedDType() { checkpoint = try checkpoint.converted(to: dtype) }
    if writing.keepQuantised { checkpoint = checkpoint.keepingQuantised() }
    checkpoint = try finishing(checkpoint)
    var document = JSONObject()
    document["output"] = .string(output)
    for key in details.keys { document[key] = details[key] }
    if let quantised = try checkpoint.quantisationSummary {
        remarks.append(quantised.remark)
        document["quantised"] = .object(quantised.json)
    }
    if let type = try writing.parsedGGUF() {
        return try await writeGGUF(
            checkpoint, to: output, type, writing: writing, common: common, remarks: remarks, document, loss)
    }
    if let note = try checkpoint.quantisedNote {
        remarks.append(note + ".")
        document["quantised_weights"] = .string(note)
    }
    if writing.dryRun {
        let plan = try checkpoint.writePlan(shardLimit: writing.maxShardSize.bytes)
        try printPlan(
            plan.files.map(PlanOfFile.init), bytes: plan.byteCount, parameters: plan.parameterCount, output, writing,
            common, remarks: remarks, document)
        return
    }
    let verification = writing.verify ? check.map { OutputVerification($0(checkpoint)) } : nil
    try verification?.checkMemory(checkpoint)
    try loss?.checkMemory(checkpoint)
    MatrixMemory.trim()
    let made = checkpoint
    let told = remarks
    try await report(
        writing, common, remarks: told, warnings: checkpoint.warnings, document, verification: verification,
        loss: loss, isResumable: !writing.pack
    ) { options in
        var options = options
        if verification != nil || loss != nil {
            options.inspect = {
                try verification?.run($0)
                try loss?.run($0)
            }
        }
        return try await made.write(to: output, options: options)
    }
}

/// Writes a checkpoint as a GGUF file, or says what it would hold.
private func writeGGUF(
    _ checkpoint: Checkpoint, to output: String, _ type: GGUFType, writing: WritingOptions, common: CommonOptions,
    remarks: [String], _ document: JSONObject, _ loss: LossChange?
) async throws {
    guard writing.dryRun else {
        try loss?.checkMemory(checkpoint)
        return try await report(
            writing, common, remarks: remarks, warnings: checkpoint.warnings, document, loss: loss, isResumable: false
        ) { options in
            // GGUF files are not read: what is scored is the result before it is rounded to the type.
            try loss?.run(checkpoint)
            return try checkpoint.writeGGUF(to: output, type: type, preTokenizer: writing.ggufPre, options: options)
        }
    }
    let plan = try checkpoint.ggufPlan(type: type, preTokenizer: writing.ggufPre)
    try printPlan(
        [PlanOfFile(plan, name: output)], bytes: plan.byteCount, parameters: checkpoint.parameterCount, output, writing,
        common, remarks: remarks, document)
}

/// Runs what writes a checkpoint with a progress bar, and reports on it.
///
/// - Parameters:
///   - document: what the JSON document holds already.
///   - isResumable: whether what an interrupt leaves can be gone on with.
func report(
    _ writing: WritingOptions, _ common: CommonOptions, remarks: [String] = [], warnings noted: [String] = [],
    _ document: JSONObject, verification: OutputVerification? = nil, loss: LossChange? = nil, isResumable: Bool = true,
    writing body: (WriteOptions) async throws -> WriteReport
) async throws {
    var document = document
    let bar = common.quiet ? nil : ProgressBar()
    let started = monotonicSeconds()
    let report: WriteReport
    do {
        report = try await body(writing.writeOptions(progress: bar))
        bar?.finish()
    } catch {
        bar?.finish()
        let isCancelled = (error as? CheckpointError)?.code == .cancelled || error is InterruptionError
        if isCancelled {
            let advice = isResumable ? "the work so far is kept, and --resume continues it" : "nothing was written"
            throw CheckpointError(.cancelled, message: "interrupted; \(advice)")
        }
        throw error
    }
    let seconds = monotonicSeconds() - started
    let warnings = noted + report.warnings + (verification?.warnings ?? []) + (loss?.warnings ?? [])
    for warning in warnings { standardError("warning: \(warning)\n") }
    if common.json {
        if let comparison = verification?.comparison { document["verification"] = .object(comparison.json) }
        if let loss { document["loss"] = loss.json }
        document["bytes"] = JSON(report.bytes)
        document["files"] = .array(report.files.map { .string($0) })
        document["resumed_bytes"] = JSON(report.resumedBytes)
        document["warnings"] = .array(warnings.map { .string($0) })
        try standardOutput(JSON.object(document).serialized())
        return
    }
    if !common.quiet {
        for remark in remarks { try standardOutput(remark) }
        if let remark = verification?.remark { try standardOutput(remark) }
        if let remark = loss?.remark { try standardOutput(remark) }
        let rate = seconds > 0.05 ? ", \(byteText(Int(saturating: Double(report.bytes) / seconds)))/s" : ""
        let resumed = report.resumedBytes > 0 ? ", \(byteText(report.resumedBytes)) of them by an earlier run" : ""
        try standardOutput(
            "Wrote \(byteText(report.bytes)) in \(fileCountText(report.files.count))\(resumed) (\(durationText(seconds))\(rate))."
        )
    }
    try standardOutput(path: report.output)
}

/// A file that would be written.
private struct PlanOfFile {
    let name: String
    let bytes: Int
    let tensors: [(name: String, form: String, bytes: Int)]

    init(_ file: PlannedFile) {
        name = file.name
        bytes = file.size
        tensors = file.tensors.map { ($0.name, "\($0.dtype.rawValue) \($0.shape)", $0.end - $0.begin) }
    }

    init(_ plan: GGUFPlan, name: String) {
        self.name = String(name.split(separator: "/").last ?? "")
        bytes = plan.byteCount
        tensors = plan.tensors.map { tensor, type, _ in
            (tensor.name, "\(type.rawValue) \(tensor.dimensions)", type.byteCount(tensor.dimensions.reduce(1, *)))
        }
    }
}

/// Says what would be written.
private func printPlan(
    _ files: [PlanOfFile], bytes: Int, parameters: Int, _ output: String, _ writing: WritingOptions,
    _ common: CommonOptions, remarks: [String], _ document: JSONObject
) throws {
    let parent = output.contains("/") ? String(output[..<(output.lastIndex(of: "/") ?? output.startIndex)]) : "."
    let free = try PosixFile.freeSpace(parent.isEmpty ? "/" : parent)
    if common.json {
        var document = document
        document["bytes"] = JSON(bytes)
        document["free_bytes"] = JSON(free)
        document["parameters"] = JSON(parameters)
        document["files"] = .array(
            files.map { file in
                .object(["name": .string(file.name), "bytes": JSON(file.bytes), "tensors": JSON(file.tensors.count)])
            })
        try standardOutput(JSON.object(document).serialized())
        return
    }
    for remark in remarks { try standardOutput(remark) }
    var table = TextTable([.left, .left, .right])
    for file in files {
        for tensor in file.tensors { table.add(escaped(tensor.name), tensor.form, byteText(tensor.bytes)) }
    }
    try standardOutput(table.text, terminator: "")
    try standardOutput("")
    let count = files.reduce(0) { $0 + $1.tensors.count }
    try standardOutput("Would write \(output): \(count) tensors, \(countText(parameters)) parameters,")
    try standardOutput(
        "\(byteText(bytes))\(writing.pack ? " before packing" : "") in "
            + "\(fileCountText(files.count)); \(byteText(free)) are free there.")
    try standardOutput("Peak memory stays within \(writing.memory.description).")
    if bytes > free, !writing.pack { try standardOutput("There is not enough space.") }
}

private func fileCountText(_ count: Int) -> String { count == 1 ? "one file" : "\(count) files" }
