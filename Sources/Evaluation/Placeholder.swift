/// Placeholder.
enum EvaluationPlaceholder {}
