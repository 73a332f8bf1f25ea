/// A seed with a tokenizer: Examples/seed, of 1.3 million parameters.
public enum Seed {
    /// The folder.
    public static var path: String { Fixtures.file("../../Examples/seed") }
}
