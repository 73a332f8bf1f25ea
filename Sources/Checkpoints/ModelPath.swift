import Glibc
import Safetensors

/// The folder that a path or a name in the Hugging Face cache stands for.
///
/// `org/name` and `org/name@revision` are looked for in the local cache (`HF_HUB_CACHE`, `HF_HOME/hub`,
/// `XDG_CACHE_HOME/huggingface/hub` or `~/.cache/huggingface/hub`) where no such path exists; nothing is downloaded.
///
/// - Throws: `CheckpointError` where there is neither.
package func resolveModelPath(_ path: String) throws -> String {
    if fileExists(path) { return path }
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
    if fileExists(reference) {
        let text = String(decoding: try PosixFile.contents(reference, limit: 4096), as: UTF8.self)
        commit = text.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    }
    let snapshot = "\(repository)/snapshots/\(commit)"
    guard !commit.isEmpty, !commit.contains("/"), !commit.hasPrefix("."), fileExists(snapshot) else {
        throw CheckpointError(
            .io, file: path,
            message: "there is no such folder, and no revision \(escaped(revision)) of it in the Hugging Face cache "
                + "\(cache); download it: hf download \(escaped(String(parts[0])))"
                + (parts.count == 2 ? " --revision \(escaped(revision))" : ""))
    }
    return snapshot
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
