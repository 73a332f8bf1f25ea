/// What packing a checkpoint came to, from its directories alone.
package struct PackedSummary: Sendable {
    /// Bytes of the original files.
    package private(set) var rawBytes = 0
    /// Bytes of the packed files.
    package private(set) var storedBytes = 0
    /// Bytes of the contents, each counted once.
    package private(set) var uniqueBytes = 0
    /// Contents that are stored, and tensors that have the same as another.
    package private(set) var unique = 0, shared = 0
    /// Contents that are stored as a difference.
    package private(set) var differences = 0
    /// Bytes of the contents' planes by codec, before they are compressed.
    package private(set) var codecs: [PlaneCodec: Int] = [:]

    package init(_ files: [PackedFile]) {
        for file in files {
            rawBytes += file.directory.fileSize
            storedBytes += file.size
            unique += file.directory.contents.count
            shared += file.directory.tensors.count - file.directory.contents.count
            for content in file.directory.contents {
                uniqueBytes += content.layout.byteCount
                if content.base != nil { differences += 1 }
                for codec in content.codecs {
                    codecs[codec, default: 0] += content.layout.byteCount / content.layout.width
                }
            }
        }
    }

    /// The share of the original size that is left.
    package var share: Double { Double(storedBytes) / Double(max(rawBytes, 1)) }
}
