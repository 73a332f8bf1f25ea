/// What is on disk, as data: a file for each model family and each device, embedded in the binary.
package enum Formats {
    /// The families' `model_type`s: the dense ones, then the mixtures of experts.
    package static let families = [
        "llama", "mistral", "qwen2", "qwen3", "olmo2", "granite", "gemma2", "phi3", "glm4", "seed_oss", "olmo3",
        "gemma3_text", "gemma", "ministral3", "smollm3", "exaone4", "ernie4_5", "hunyuan_v1_dense", "cohere2",
        "lfm2", "qwen3_5_text", "olmo", "arcee",
        "mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "flex_olmo", "granitemoe", "phimoe", "deepseek_v2",
        "deepseek_v3", "gpt_oss", "glm4_moe", "glm4_moe_lite", "minimax_m2", "dots1", "solar_open", "hy_v3",
        "granitemoeshared", "granitemoehybrid", "afmoe", "exaone_moe", "ernie4_5_moe", "hunyuan_v1_moe",
        "llama4_text", "kimi_k2", "deepseek_v32",
        "lfm2_moe", "qwen3_next", "qwen3_5_moe_text", "nemotron_h", "gemma4_text", "cohere2_moe",
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
        case "glm4": PackageResources.glm4_json
        case "seed_oss": PackageResources.seed_oss_json
        case "olmo3": PackageResources.olmo3_json
        case "gemma3_text": PackageResources.gemma3_text_json
        case "gemma": PackageResources.gemma_json
        case "ministral3": PackageResources.ministral3_json
        case "smollm3": PackageResources.smollm3_json
        case "exaone4": PackageResources.exaone4_json
        case "ernie4_5": PackageResources.ernie4_5_json
        case "hunyuan_v1_dense": PackageResources.hunyuan_v1_dense_json
        case "cohere2": PackageResources.cohere2_json
        case "glm4_moe": PackageResources.glm4_moe_json
        case "glm4_moe_lite": PackageResources.glm4_moe_lite_json
        case "minimax_m2": PackageResources.minimax_m2_json
        case "dots1": PackageResources.dots1_json
        case "solar_open": PackageResources.solar_open_json
        case "hy_v3": PackageResources.hy_v3_json
        case "granitemoeshared": PackageResources.granitemoeshared_json
        case "granitemoehybrid": PackageResources.granitemoehybrid_json
        case "afmoe": PackageResources.afmoe_json
        case "exaone_moe": PackageResources.exaone_moe_json
        case "ernie4_5_moe": PackageResources.ernie4_5_moe_json
        case "hunyuan_v1_moe": PackageResources.hunyuan_v1_moe_json
        case "llama4_text": PackageResources.llama4_text_json
        case "kimi_k2": PackageResources.kimi_k2_json
        case "deepseek_v32": PackageResources.deepseek_v32_json
        case "lfm2": PackageResources.lfm2_json
        case "lfm2_moe": PackageResources.lfm2_moe_json
        case "qwen3_5_text": PackageResources.qwen3_5_text_json
        case "qwen3_next": PackageResources.qwen3_next_json
        case "qwen3_5_moe_text": PackageResources.qwen3_5_moe_text_json
        case "nemotron_h": PackageResources.nemotron_h_json
        case "olmo": PackageResources.olmo_json
        case "arcee": PackageResources.arcee_json
        case "cohere2_moe": PackageResources.cohere2_moe_json
        case "gemma4_text": PackageResources.gemma4_text_json
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
