/// Placeholder.
enum TrainingPlaceholder {}
