/// Placeholder.
enum ModelsPlaceholder {}
