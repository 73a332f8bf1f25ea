/// What is often found in the place of a file, and what to do about it.
package enum ForeignContent {
    /// The bytes of a file's beginning that tell.
    package static let prefixLength = 64

    /// What a file is that should be text or weights; nil where nothing speaks against that.
    package static func problem(of beginning: some Collection<UInt8>) -> String? {
        if beginning.starts(with: Array("version https://git-lfs".utf8)) {
            return
                "it is a Git LFS pointer, which stands for the file, and not the file: fetch it with `git lfs pull` in "
                + "the repository, or download it again"
        }
        return nil
    }

    /// What a file is that should be weights or a part of a checkpoint, and was perhaps fetched amiss; nil where nothing
    /// speaks against that.
    package static func problem(ofDownload beginning: some Collection<UInt8>) -> String? {
        if let problem = problem(of: beginning) { return problem }
        let text = beginning.prefix(16).drop { [0x20, 0x09, 0x0A, 0x0D].contains($0) }.map { $0 | 0x20 }
        if text.starts(with: Array("<!doctype".utf8).map { $0 | 0x20 }) || text.starts(with: Array("<html".utf8)) {
            return "it is a web page, which a server sends for a file that one must sign in for, or that is not there: "
                + "download it again (hf download, after hf auth login)"
        }
        return nil
    }

    /// What a file is that should be in the safetensors format; nil where nothing speaks against that.
    package static func problem(ofWeights beginning: some Collection<UInt8>) -> String? {
        if let problem = problem(ofDownload: beginning) { return problem }
        if beginning.starts(with: Array("GGUF".utf8)) { return "it is a GGUF file under another name" }
        // None of these beginnings is the length of a header that is allowed.
        let isZip =
            beginning.starts(with: [0x50, 0x4B, 0x03, 0x04]) && beginning.dropFirst(4).prefix(4).contains { $0 != 0 }
        if isZip || beginning.starts(with: [0x80, 0x02, 0x8A, 0x0A]) {
            return "it is a file of PyTorch's (torch.save), which may hold code and is not read: convert it with "
                + "safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW)"
        }
        if beginning.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
            return "it is compressed: `zstd -d` makes the file of it"
        }
        return nil
    }

    /// What keeps a file from being read as UTF-8 text; nil where nothing does.
    package static func problem(ofText beginning: some Collection<UInt8>) -> String? {
        if let problem = problem(of: beginning) { return problem }
        let head = Array(beginning.prefix(4))
        guard let encoding = encoding(of: head) else { return nil }
        return
            "it is \(encoding), and text is read as UTF-8: convert it with `iconv -f \(encoding) -t UTF-8 FILE > NEW`"
    }

    /// An encoding of units that are wider than a byte, by its mark or by where the zeros of its first characters are.
    private static func encoding(of head: [UInt8]) -> String? {
        if head == [0xFF, 0xFE, 0, 0] || head == [0, 0, 0xFE, 0xFF] { return "UTF-32" }
        if head.starts(with: [0xFF, 0xFE]) || head.starts(with: [0xFE, 0xFF]) { return "UTF-16" }
        guard head.count == 4 else { return nil }
        return switch head.map({ $0 == 0 }) {
        case [false, true, true, true]: "UTF-32LE"
        case [true, true, true, false]: "UTF-32BE"
        case [false, true, false, true]: "UTF-16LE"
        case [true, false, true, false]: "UTF-16BE"
        default: nil
        }
    }

    /// The text without the mark that some programs put before UTF-8.
    package static func withoutMark(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        text.starts(with: [0xEF, 0xBB, 0xBF]) ? text.dropFirst(3) : text
    }
}
