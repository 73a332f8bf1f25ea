public import Safetensors

extension Preservation: JSONResult {
    /// How far the function is kept, why, and the factor on the down projections.
    public var json: JSONObject {
        ["preserved": .string(degree.rawValue), "reason": .string(reason), "factor": JSON(factor)]
    }
}
