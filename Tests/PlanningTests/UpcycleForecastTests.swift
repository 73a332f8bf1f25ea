import Checkpoints
import Glibc
import Planning
import TestSupport
import Testing
import Transforms

@Suite("Planning an upcycling")
struct UpcycleForecastTests {
    // By hand, mistral: hidden 32, 2 layers, inner 48, 4 heads of 8, 2 for keys and values, vocabulary 96.
    // Embedding and head 3072 each; a layer 3072 attention, 4608 feed-forward, 64 norms; 32 at the end.
    @Test("The tensors of a dense model and of what it becomes")
    func sizes() throws {
        let source = try Checkpoint(at: Fixtures.model("mistral"))
        let forecast = try UpcycleForecast(source, options: UpcycleOptions(experts: 8), context: 128)
        #expect(forecast.dense.total == 21_664)
        #expect(forecast.dense.active == 21_664)
        #expect(forecast.dense.bytes == 86_656)
        #expect(forecast.dense.keyValueElements == 64)
        // 7 more networks of 4608 in 2 layers, routers of 8 x 32.
        #expect(forecast.mixture.total == 21_664 + 64_512 + 512)
        #expect(forecast.mixture.active == 21_664 + 9216 + 512)
        #expect(forecast.mixture.routers == 512)
        #expect(forecast.mixture.bytes == 4 * 86_688)
        // 2 * (31392 - 3072 embedding - 160 norms), and 2 layers * 4 * 4 heads * 8 for each of 64 tokens on average.
        #expect(forecast.mixture.forwardFLOPs(context: 128) == 2 * 28_160 + 256 * 64)
        #expect(forecast.fullTrainingBytes == 16 * 86_688)
        #expect(forecast.family == "mixtral")
        #expect(forecast.comparison == nil)
    }

    // qwen2: as above with 64 biases a layer, and the head the embedding, which is counted once and multiplied with.
    @Test("A tied head is counted once")
    func tied() throws {
        let sizes = try CheckpointSizes(of: Checkpoint(at: Fixtures.model("qwen2-tied")))
        #expect(sizes.total == 18_720)
        #expect(sizes.multiplied == 2 * 7680 + 3072)
    }

    // A latent of 16 and 8 rotated elements in each of 2 layers.
    @Test("Latent attention keeps its latent")
    func latent() throws {
        let sizes = try CheckpointSizes(of: Checkpoint(at: Fixtures.model("deepseek-v3-dense")))
        #expect(sizes.keyValueElements == 48)
    }

    // Liew et al.'s formulas in Python, the constants drawn within their rounding 4000 times: of the draws the upcycled
    // model is ahead in all, none and half.
    @Test("Upcycling or training from scratch")
    func comparison() throws {
        let few = try UpcycleComparison(parameters: 1e9, sunkTokens: 1e12, tokens: 1e9)
        #expect(few.verdict == .upcycling)
        let many = try UpcycleComparison(parameters: 1e9, sunkTokens: 7.4e10, tokens: 1e12)
        #expect(many.verdict == .scratch)
        let close = try UpcycleComparison(parameters: 1e9, sunkTokens: 7.4e10, tokens: 3.7e10)
        #expect(isClose(close.upcycledLoss, 2.1442035821423575, 1e-12))
        #expect(isClose(close.scratchLoss, 2.1446609083336408, 1e-12))
        #expect(close.verdict == .open)
        // The same in Python, 1000 draws: from scratch is ahead from 1.68e10 to 1.195e11 tokens on.
        let crossover = try #require(close.crossover)
        #expect(isClose(crossover.lowerBound, 1.68e10, 0.2) && isClose(crossover.upperBound, 1.195e11, 0.2))
    }

    @Test("The rules of thumb go by the FLOPs over the dense model's")
    func rules() throws {
        let source = try Checkpoint(at: Fixtures.model("mistral"))
        for (tokens, komatsuzaki, skywork) in [
            (1e9, UpcycleComparison.Verdict.upcycling, UpcycleComparison.Verdict.upcycling), (7.9e10, .open, .open),
            (1e12, .scratch, .scratch),
        ] {
            let forecast = try UpcycleForecast(
                source, options: UpcycleOptions(experts: 8), context: 128, tokens: tokens, sunkTokens: 1e11)
            // (2 * 28160 + 16384) / (2 * 18432 + 16384): what the dense model multiplies with are 21664 - 3072 - 160.
            let ratio = 72_704.0 / 53_248
            #expect(isClose(forecast.shareOfSunkFLOPs ?? 0, ratio * tokens / 1e11, 1e-12))
            #expect(forecast.komatsuzaki == komatsuzaki)
            #expect(forecast.skywork == skywork)
        }
    }

    @Test("Numbers that make no sense, and mixtures, are refused")
    func refusals() throws {
        let source = try Checkpoint(at: Fixtures.model("mistral"))
        let options = UpcycleOptions(experts: 8)
        #expect(refusal { try UpcycleForecast(source, options: options, context: 0) }?.code == .usage)
        #expect(refusal { try UpcycleForecast(source, options: options, context: 1, tokens: 0.5) }?.code == .usage)
        #expect(
            refusal { try UpcycleForecast(source, options: options, context: 1, tokens: 1, sunkTokens: .nan) }?.code
                == .usage)
        let mixture = try Checkpoint(at: Fixtures.model("mixtral"))
        #expect(refusal { try UpcycleForecast(mixture, options: options, context: 1) }?.code == .incompatible)
    }
}
