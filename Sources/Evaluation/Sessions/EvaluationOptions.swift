/// What models are evaluated on, and how.
public struct EvaluationOptions: Sendable {
    /// Domains of text: `NAME=PATH`, a file, or a folder whose entries are the domains. `:uint16` or `:uint32` at the end
    /// says what the tokens of `.bin` files are.
    public var data: [String]
    /// Files of multiple-choice questions, `.jsonl` or `.jsonl.zst`: `NAME=FILE`, or `FILE`.
    public var tasks: [String]
    /// What is between the context and a choice of a question.
    public var targetDelimiter = " "
    /// Tokens in a window, from 2 up, whose tokens but the first are predicted; by default 512, or the models' positions
    /// where they have less.
    public var length: Int?
    /// Tokens that go through a model at once; by default 4096, or as many as fit the memory where weights do not.
    public var batchTokens: Int?
    /// Experts a token is routed to, if not as the checkpoint says.
    public var topK: Int?
    /// Decides in the routers' place; nil for what the checkpoint says.
    public var gating: GatingChoice?
    /// The first domain is the first expert's, and so on, whatever they are called.
    public var domainsInOrder = false
    /// The seed of gatings that draw.
    public var seed: UInt64 = 0
    /// Which dense models are scored as an ensemble as well.
    public var ensemble = EnsembleChoice.none
    /// Sum what experts do, for `EvaluationResult.statistics`; of one mixture alone.
    public var measuresExperts = false
    /// Add the experts' Fisher information to that; three times the work.
    public var measuresFisher = false
    /// How text is read; its `tokenLimit` is of each domain.
    public var text = TextOptions()
    /// Memory and threads.
    public var compute = ComputeOptions()

    /// Which of the models make an ensemble.
    public enum EnsembleChoice: Sendable, Hashable {
        /// None.
        case none
        /// All that are dense.
        case all
        /// Those with these names.
        case named([String])
    }

    /// - Parameters:
    ///   - data: domains of text.
    ///   - tasks: files of questions.
    public init(data: [String] = [], tasks: [String] = []) {
        self.data = data
        self.tasks = tasks
    }
}
