import Glibc
import Safetensors

/// The folder that a path or a name in the Hugging Face cache stands for.
///
/// `org/name` and `org/name@revision` are looked for in the local cache (`HF_HUB_CACHE`, `HF_HOME/hub`,
/// `XDG_CACHE_HOME/huggingface/hub` or `~/.cache/huggingface/hub`) where no such path exists; nothing is downloaded.
///
/// - Throws: `CheckpointError` where there is neither.
package func resolveModelPath(_ path: String) throws -> String {
    try fileExists(path) ? path : cachedModelPath(path)
}

/// As `resolveModelPath`, and nil where there is neither.
package func knownModelPath(_ path: String) throws -> String? {
    do { return try resolveModelPath(path) } catch is CheckpointError { return nil }
}

/// The folder that a name stands for in the Hugging Face cache alone.
///
/// - Throws: `CheckpointError` where it is not there.
func cachedModelPath(_ path: String) throws -> String {
    let parts = path.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let name = parts[0].split(separator: "/", omittingEmptySubsequences: false)
    let revision = parts.count == 2 ? String(parts[1]) : "main"
    let isName =
        name.count == 2 && !name.contains { $0.isEmpty || $0.hasPrefix(".") }
        && !revision.isEmpty && !revision.contains("..") && !revision.hasPrefix("/")
    guard isName else {
        throw CheckpointError(.io, file: path, message: "there is no such file or folder")
    }
    let cache = hubCache()
    let repository = "\(cache)/models--\(name[0])--\(name[1])"
    let reference = "\(repository)/refs/\(revision)"
    var commit = revision
    if try fileExists(reference) {
        let text = String(decoding: try PosixFile.contents(reference, limit: 4096), as: UTF8.self)
        commit = text.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    }
    let snapshot = "\(repository)/snapshots/\(commit)"
    guard !commit.isEmpty, !commit.contains("/"), !commit.hasPrefix("."), try fileExists(snapshot) else {
        throw CheckpointError(
            .io, file: path,
            message: "there is no such folder, and no revision \(escaped(revision)) of it in the Hugging Face cache "
                + "\(cache); download it: hf download \(escaped(String(parts[0])))"
                + (parts.count == 2 ? " --revision \(escaped(revision))" : ""))
    }
    return snapshot
}

/// The name of a model, and the folder where what is made of it goes unless the user says another.
///
/// That is the model's own, or the current one where the model lies in the Hugging Face cache, which is not the user's to
/// put things in.
package func defaultPlace(for input: String) -> (folder: String?, name: String) {
    func last(_ path: String) -> String {
        path.split(separator: "/").last { $0 != "." }.map(String.init) ?? "model"
    }
    guard let path = try? PosixFile.resolved(input) else {
        return (nil, last(input).split(separator: "@").first.map(String.init) ?? "model")
    }
    guard let repository = PosixFile.hubRepository(of: path) else {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return (parts.dropLast().joined(separator: "/"), parts.last.map(String.init) ?? "model")
    }
    // models--org--name/snapshots/REVISION: a revision is no name.
    let given = last(input)
    let isRevision = given == last(path) && path.split(separator: "/").dropLast().last == "snapshots"
    guard isRevision else { return (nil, given) }
    return (
        nil, last(repository).split(separator: "--", omittingEmptySubsequences: true).last.map(String.init) ?? given
    )
}

private func hubCache() -> String {
    func variable(_ name: String) -> String? {
        guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
        return value
    }
    if let cache = variable("HF_HUB_CACHE") { return cache }
    if let home = variable("HF_HOME") { return home + "/hub" }
    if let cache = variable("XDG_CACHE_HOME") { return cache + "/huggingface/hub" }
    return (variable("HOME") ?? ".") + "/.cache/huggingface/hub"
}
