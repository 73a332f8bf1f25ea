import Foundation

extension TemporaryFolder {
    /// A copy of a folder with members of its config.json set, or removed where the value is nil.
    public func copy(_ source: String, as name: String, setting values: [String: Any?]) throws -> String {
        let path = try copy(source, as: name)
        let file = URL(fileURLWithPath: path + "/config.json")
        var object = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any] ?? [:]
        for (key, value) in values { object[key] = value }
        try JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]).write(to: file)
        return path
    }
}
