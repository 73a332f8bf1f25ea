import CZstd
import Safetensors

/// What a call of zstd's that failed says.
enum ZstdFailure {
    static let outOfMemory = SafetensorsError(
        .outOfMemory, message: "out of memory: there is none left for zstd; lower `threads`, or allow the process more")

    /// - Parameter result: what a call returned that gives a size or an error.
    static func isOutOfMemory(_ result: Int) -> Bool { ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation }

    /// - Parameter what: what could not be compressed.
    static func compressing(_ what: String, _ result: Int) -> SafetensorsError {
        if isOutOfMemory(result) { return outOfMemory }
        let reason = ZSTD_getErrorName(result).map { String(cString: $0) } ?? "unknown"
        return SafetensorsError(.io, message: "\(what) cannot be compressed: \(reason)")
    }
}
