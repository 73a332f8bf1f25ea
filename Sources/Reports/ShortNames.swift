/// Names of models short enough for a figure: the ends of their paths that tell them apart.
package func shortNames(_ paths: [String]) -> [String] {
    let parts = paths.map { path in
        // An ensemble's name is none of a path.
        path.hasPrefix("ensemble (") ? [Substring(path)] : path.split(separator: "/")
    }
    let longest = parts.map(\.count).max() ?? 0
    var names = paths
    for count in stride(from: 1, through: max(longest, 1), by: 1) {
        names = zip(paths, parts).map { $1.isEmpty ? $0 : $1.suffix(count).joined(separator: "/") }
        if Set(names).count == Set(paths).count { break }
    }
    return names
}
