/// What is on disk, as data: a file for each model family and each device, embedded in the binary.
package enum Formats {
    /// The families' `model_type`s: the dense ones, then the mixtures of experts.
    package static let families = [
        "llama", "mistral", "qwen2", "qwen3", "olmo2", "granite",
        "gemma2", "phi3", "mixtral", "qwen2_moe", "qwen3_moe", "olmoe",
        "flex_olmo", "granitemoe", "phimoe", "deepseek_v2", "deepseek_v3", "gpt_oss",
    ]

    /// The file that describes a family.
    package static func architecture(_ family: String) -> [UInt8]? {
        switch family {
        case "llama": PackageResources.llama_json
        case "mistral": PackageResources.mistral_json
        case "qwen2": PackageResources.qwen2_json
        case "qwen3": PackageResources.qwen3_json
        case "olmo2": PackageResources.olmo2_json
        case "granite": PackageResources.granite_json
        case "gemma2": PackageResources.gemma2_json
        case "phi3": PackageResources.phi3_json
        case "mixtral": PackageResources.mixtral_json
        case "qwen2_moe": PackageResources.qwen2_moe_json
        case "qwen3_moe": PackageResources.qwen3_moe_json
        case "olmoe": PackageResources.olmoe_json
        case "flex_olmo": PackageResources.flex_olmo_json
        case "granitemoe": PackageResources.granitemoe_json
        case "phimoe": PackageResources.phimoe_json
        case "deepseek_v2": PackageResources.deepseek_v2_json
        case "deepseek_v3": PackageResources.deepseek_v3_json
        case "gpt_oss": PackageResources.gpt_oss_json
        default: nil
        }
    }

    /// The devices that inference can be planned for, by the names that the command line has for them.
    package static let devices = ["A100-40", "A100-80", "H100", "H200", "CPU"]

    /// The file that describes a device.
    package static func hardware(_ device: String) -> [UInt8]? {
        switch device {
        case "A100-40": PackageResources.a100_40_json
        case "A100-80": PackageResources.a100_80_json
        case "H100": PackageResources.h100_json
        case "H200": PackageResources.h200_json
        case "CPU": PackageResources.cpu_json
        default: nil
        }
    }
}
