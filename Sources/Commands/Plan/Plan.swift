import ArgumentParser

struct Plan: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Which model to build: scaling laws and the cost of inference.",
        discussion: """
            How many experts, which size, how many tokens: predictions of published laws, or of one fitted to your runs. \
            A law is an empirical fit; outside of what it was fitted to it warns.

              moe-tool plan loss -N 1e9 -D 1e10 -E 8
              moe-tool plan optimal --flops 1e21 --memory 80GB
              moe-tool plan cost mixtral-8x7b --hardware H100
              moe-tool plan overtrain --flops 1e21
              moe-tool plan fit --runs runs.csv --law joint --output law.json
              moe-tool plan upcycle mistral-7b --experts 8 --tokens 100B --sunk-tokens 2T
            """,
        subcommands: [
            PlanLoss.self, PlanOptimal.self, PlanCost.self, PlanOvertrain.self, PlanFit.self, PlanUpcycle.self,
        ])
}
