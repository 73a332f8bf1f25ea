public import Safetensors

/// What an evaluation found: scores of models on domains and tasks, and how mixtures routed.
public struct EvaluationResult: JSONResult {
    /// A model, or an ensemble of some.
    public struct Model: Sendable {
        /// Losses by domain, in nats a token; no domains where there were questions alone.
        public let scores: ModelScores
        /// How a mixture routed the text; nil for a dense model, and where no token was routed to an expert.
        public let routing: RoutingStatistics?
        /// What share of questions it answers.
        public let tasks: [Task]
        /// The models of an ensemble.
        public let members: [String]
    }

    /// A task, and how many of its questions a model answers.
    public struct Task: Sendable {
        /// The task's name.
        public let name: String
        /// The shares of right answers.
        public let result: MultipleChoiceResult
    }

    /// The gating that decided in the routers' place.
    public let gating: GatingChoice?
    /// The models in the order in which they were given, then ensembles.
    public internal(set) var models: [Model] = []
    /// What the one mixture's experts did, where that was to be measured.
    public internal(set) var statistics: ExpertStatisticsFile?
    /// What the user should know: documents that were left out, windows that exceed a model's positions.
    public internal(set) var warnings: [String] = []

    init(gating: GatingChoice?) { self.gating = gating }

    mutating func add(_ result: ModelEvaluator.Result, tasks: [Task]) {
        models.append(Model(scores: result.scores, routing: result.routing, tasks: tasks, members: []))
    }

    mutating func add(_ scores: ModelScores, members: [String]) {
        models.append(Model(scores: scores, routing: nil, tasks: [], members: members))
    }

    /// `{"models": [...]}`, as `Formats/schemas` has it.
    public var json: JSONObject {
        let models = models.map { model -> JSON in
            var object = model.scores.json
            if model.scores.domains.isEmpty {
                // Questions alone: there is no text to have a mean over.
                object["domains"] = nil
                object["mean"] = nil
            }
            if !model.tasks.isEmpty {
                var tasks = JSONObject()
                for task in model.tasks { tasks[task.name] = .object(task.result.json) }
                object["tasks"] = .object(tasks)
            }
            if !model.members.isEmpty { object["members"] = .array(model.members.map { .string($0) }) }
            if var routing = model.routing?.json.object {
                if let gating, gating != .tokenChoice { routing["gating"] = .string(gating.remark) }
                object["routing"] = .object(routing)
            }
            return .object(object)
        }
        return ["models": .array(models)]
    }
}
