import Checkpoints
import Glibc
import Planning
import Testing

@Suite("Dividing a budget")
struct BudgetTests {
    private func plan(_ name: String, flops: Double) throws -> BudgetPlan {
        let published = try #require(PublishedLaw.named(name))
        return BudgetPlan(law: try published.law(), shape: published.shape, flops: flops)
    }

    // Table 1 of 2502.05172: N and D of the lowest loss, as it prints them.
    @Test(
        "The joint law's optimum is the paper's",
        arguments: [
            (1e20, 1, 1.7e9, 9.7e9), (1e20, 8, 990e6, 17e9), (1e20, 32, 669e6, 24.9e9), (1e21, 1, 5.7e9, 29.3e9),
            (1e21, 8, 3.8e9, 44.3e9), (1e21, 32, 2.85e9, 58.4e9), (1e22, 1, 18.8e9, 88.6e9), (1e22, 8, 14.4e9, 115.8e9),
            (1e22, 32, 12.2e9, 136.9e9),
        ])
    func table1(_ flops: Double, _ experts: Double, _ parameters: Double, _ tokens: Double) throws {
        let best = try plan("joint", flops: flops).optimum(experts: experts)
        #expect(isClose(best.point.parameters, parameters, 0.02))
        #expect(isClose(best.point.tokens, tokens, 0.02))
        #expect(isClose(6 * best.point.parameters * best.point.tokens, flops, 1e-9))
        #expect(!best.isLimitedByMemory)
    }

    // A grid of 200,001 sizes in Python.
    @Test("To more digits", arguments: [(1, 1.72693e9, 2.589698), (8, 9.89977e8, 2.529130), (32, 6.74179e8, 2.472443)])
    func grid(_ experts: Double, _ parameters: Double, _ loss: Double) throws {
        let best = try plan("joint", flops: 1e20).optimum(experts: experts)
        #expect(isClose(best.point.parameters, parameters, 2e-4))
        #expect(abs(best.loss - loss) < 1e-6)
    }

    // Hoffmann et al.: N = G (C/6)^a, G = (αA/(βB))^(1/(α+β)), a = β/(α+β).
    @Test("Chinchilla's optimum in closed form")
    func chinchilla() throws {
        let (a, b, alpha, beta) = (406.4, 410.7, 0.3392, 0.2849)
        for flops in [1e19, 1e21, 1e24] {
            let expected = pow(alpha * a / (beta * b), 1 / (alpha + beta)) * pow(flops / 6, beta / (alpha + beta))
            let best = try plan("chinchilla", flops: flops).optimum(experts: 1)
            #expect(isClose(best.point.parameters, expected, 1e-4))
        }
    }

    // Table 2 of 2502.05172: the best number of experts with 16k tokens of context, in 24, 80 and 640 GB. With the
    // width 64 times the number of layers nine of its twelve entries come out, and three a step away.
    @Test(
        "With limited memory the best number of experts is the paper's, or next to it",
        arguments: [
            (1e21, [16, 32, 32]), (1e22, [4, 16, 32]), (1e23, [1, 8, 32]), (1e24, [1, 1, 16]),
        ])
    func table2(_ flops: Double, _ expected: [Double]) throws {
        for (memory, experts) in zip([24e9, 80e9, 640e9], expected) {
            var plan = try plan("joint", flops: flops)
            plan.memory = memory
            plan.context = 16384
            let candidates = try [1, 2, 4, 8, 16, 32].map { try plan.optimum(experts: $0) }
            #expect(candidates.allSatisfy { $0.bytes <= memory * (1 + 1e-9) })
            let best = try #require(candidates.min { $0.loss < $1.loss }).point.experts
            #expect(best / experts <= 2 && experts / best <= 2, "\(memory): \(best), the paper \(experts)")
        }
    }

    // The best of the same grid in Python: 24 GB at 1e22 FLOPs, 4 experts.
    @Test("The loss in limited memory", arguments: [(4, 2.1643), (8, 2.1665), (32, 2.1896)])
    func limited(_ experts: Double, _ loss: Double) throws {
        var plan = try plan("joint", flops: 1e22)
        plan.memory = 24e9
        plan.context = 16384
        let best = try plan.optimum(experts: experts)
        #expect(abs(best.loss - loss) < 1e-4)
        #expect(best.isLimitedByMemory)
        #expect(isClose(best.bytes, 24e9, 1e-6))
    }

    @Test("Inference is paid from the budget, and makes models smaller")
    func inference() throws {
        var plan = try plan("joint", flops: 1e21)
        let free = try plan.optimum(experts: 8)
        plan.inferenceTokens = 1e12
        let best = try plan.optimum(experts: 8)
        let spent = 6 * best.point.parameters * best.point.tokens + 2 * best.point.parameters * 1e12
        #expect(isClose(spent, 1e21, 1e-9))
        #expect(best.point.parameters < free.point.parameters / 2)
        // Brute force.
        let law = try published("joint")
        var lowest = Double.infinity
        for step in 0...20_000 {
            let n = exp(log(1e7) + Double(step) / 20_000 * log(1e4))
            let tokens = (1e21 - 2 * n * 1e12) / (6 * n)
            guard tokens >= 1 else { continue }
            lowest = min(lowest, law.loss(LawPoint(parameters: n, tokens: tokens, experts: 8)))
        }
        #expect(best.loss <= lowest + 1e-12 && best.loss > lowest - 1e-6)
    }

    @Test("A curve has its lowest point at the optimum")
    func curve() throws {
        let plan = try plan("joint", flops: 1e20)
        let curve = try plan.curve(experts: 8, count: 200)
        let best = try plan.optimum(experts: 8)
        #expect(curve.count == 200)
        #expect(curve.allSatisfy { $0.loss >= best.loss - 1e-12 })
        #expect((curve.map(\.loss).min() ?? 0) < best.loss + 1e-3)
    }

    @Test("A budget below one token, or memory below any model, is refused")
    func refusals() throws {
        for flops in [0, -1, Double.nan, .infinity, 1e5] {
            #expect(refusal { try plan("joint", flops: flops).optimum(experts: 8) }?.code == .usage, "\(flops)")
        }
        #expect(refusal { try plan("joint", flops: 1e5).optimum(experts: 8) }?.message.contains("one token") == true)
        #expect(refusal { try plan("clark-hash", flops: 1e20).optimum(experts: 8) }?.message.contains("tokens") == true)
        #expect(refusal { try plan("chinchilla", flops: 1e20).optimum(experts: 8) }?.code == .usage)
        #expect(refusal { try plan("joint", flops: 1e20).optimum(experts: 0.5) }?.code == .usage)
        var small = try plan("joint", flops: 1e20)
        small.memory = 1000
        #expect(refusal { try small.optimum(experts: 8) }?.message.contains("`memory`") == true)
    }
}

@Suite("Model shapes")
struct ModelShapeTests {
    // Yun et al.: N_MoE = (1 + (E - 1)/3) N, active (K/3 + 2/3) N, every second layer, top-2.
    @Test("Every second layer a mixture")
    func yun() throws {
        let shape = try #require(PublishedLaw.named("yun")).shape
        let sizes = shape.model(parameters: 6e8, experts: 8)
        #expect(isClose(sizes.total, 6e8 * (1 + 7.0 / 3), 1e-12))
        #expect(isClose(sizes.active, 6e8 * 4 / 3, 1e-12))
        let dense = shape.model(parameters: 6e8, experts: 1)
        #expect(isClose(dense.total, 6e8, 1e-12) && dense.active == dense.total)
    }

    // Ludziejewski et al.: N_act = 2 d V + 13 l d², N_total = 2 d V + (4 + 9 E) l d²; d = 1024, l = 16.
    @Test("The joint law's models")
    func joint() throws {
        let active: Double = 2 * 1024 * 50257 + 13 * 16 * 1024 * 1024
        let sizes = try #require(PublishedLaw.named("joint")).shape.model(parameters: active, experts: 8)
        #expect(isClose(sizes.width, 1024, 1e-12) && isClose(sizes.layers, 16, 1e-12))
        #expect(isClose(sizes.active, active, 1e-12))
        #expect(isClose(sizes.total, 2 * 1024 * 50257 + 76 * 16 * 1024 * 1024, 1e-12))
        #expect(isClose(sizes.keyValueElements, 2 * 16 * 1024, 1e-12))
    }

    // Krajewski et al.: F = (12 d² 6 + d E G 14) a layer; N = (4 + 8 E) d² a layer; d = 512, 8 layers, E = 64, G = 4.
    @Test("Fine-grained models, with the router's FLOPs")
    func krajewski() throws {
        let total: Double = 8 * 512 * 512 * (4 + 8 * 64)
        let shape = try #require(PublishedLaw.named("krajewski")).shape
        let sizes = shape.model(parameters: total, experts: 64, granularity: 4)
        #expect(isClose(sizes.trainingFLOPs, 8 * (12 * 512 * 512 * 6 + 512 * 64 * 4 * 14), 1e-12))
    }

    // Two tokens, four experts, one each: 4 (1 - (3/4)²) = 1.75 experts are read.
    @Test("The experts that a batch reads")
    func experts() throws {
        let sizes = ModelShape(counted: .dense).model(parameters: 1.2e9, experts: 4)
        #expect(isClose(sizes.expertParameters, 8e8, 1e-12))
        #expect(isClose(sizes.parametersRead(tokens: 1), sizes.active, 1e-12))
        #expect(isClose(sizes.parametersRead(tokens: 2), 4e8 + 1.75 * 8e8, 1e-12))
        #expect(isClose(sizes.parametersRead(tokens: 1e9), sizes.total, 1e-12))
    }
}
