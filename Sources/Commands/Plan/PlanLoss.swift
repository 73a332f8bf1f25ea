import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct PlanLoss: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loss", abstract: "The loss that a law expects of a model.",
        discussion: """
            Nats per token on the law's own data and vocabulary: losses of different laws do not compare. N counts what the \
            law counts, which is printed.

            A law's constants are for logarithms to a base. The base of a sum of powers does not matter, that of a \
            product of logarithms does: log L = log(A/N^a + B/E^b + C/D^g + F) + d log N log E with A 0.01, B 0.02, \
            C 0.05, F 0.1, exponents 0.5, 0.3, 0.7 and d 0.01 is at N 1e9, D 1e10, E 8

              L = 10^(-0.955782 + 0.01 * 9 * 0.903090)        = 0.1335   in base 10
              L =  e^(-2.200768 + 0.01 * 20.723266 * 2.079442) = 0.1704   in base e

            and e^(-0.8745) = 0.417, the logarithm to base 10 with the power of e, is neither.

              moe-tool plan loss -N 1e9 -D 1e10 -E 8
              moe-tool plan loss --law clark-s-base -N 1.3B -E 64
              moe-tool plan loss --law yun --plain-experts --log-base 10 -N 1e9 -D 1e10 -E 8 \\
                --constants A=0.01,alpha=0.5,B=0.02,beta=0.3,C=0.05,gamma=0.7,F=0.1,d=0.01
            """)

    @OptionGroup var law: LawArguments

    @Option(name: [.customShort("N"), .long], help: "N, as the law counts it.")
    var parameters: Quantity

    @Option(name: [.customShort("D"), .long], help: "Training tokens.")
    var tokens: Quantity?

    @Option(
        name: [.customShort("E"), .long], help: "Experts of each mixture layer; by default 1, or what the law is of.")
    var experts: Quantity?

    @Option(name: [.customShort("G"), .long], help: "The feed-forward width over an expert's.")
    var granularity = Quantity(value: 1)

    @Option(help: "Tokens that the dense model saw before it was upcycled.")
    var sunkTokens: Quantity?

    @OptionGroup var common: CommonOptions

    func run() throws {
        let result = try LossPrediction(
            law.chosen(), parameters: parameters.value, tokens: tokens?.value, experts: experts?.value,
            granularity: granularity.value, sunkTokens: sunkTokens?.value)
        if common.json {
            try standardOutput(result.jsonText)
            return
        }
        let (chosen, form) = (result.law, result.law.law.form)
        var table = TextTable([.left, .left])
        table.add("loss", "\(fixedText(result.loss, digits: 4)) nats per token")
        if let experts = result.effectiveExperts { table.add("Ê", fixedText(experts, digits: 4)) }
        table.add("law", "\(chosen.name): \(form.formula)")
        table.add("source", chosen.source)
        table.add("logarithms", "base \(chosen.law.base.rawValue)")
        table.add("N counts", form.meaningOfSize)
        for note in chosen.notes { table.add("note", note) }
        try standardOutput(table.text, terminator: "")
        warn(result.warnings, common)
    }
}
