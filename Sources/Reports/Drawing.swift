/// An SVG drawing as it grows.
///
/// Colours are classes, which the page's style sheet knows for light and dark.
struct Drawing {
    enum Anchor: String { case start, middle, end }

    let width: Double
    var height: Double
    private var body = ""

    init(width: Double, height: Double = 0) {
        self.width = width
        self.height = height
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
        body +=
            "<path class=\"\(style)\" d=\"M\(coordinate(x1)) \(coordinate(y1))L\(coordinate(x2)) \(coordinate(y2))\"/>"
    }

    mutating func path(_ data: String, _ style: String) { body += "<path class=\"\(style)\" d=\"\(data)\"/>" }

    /// - Parameter title: what a pointer that rests on it is told.
    mutating func rectangle(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, title: String? = nil
    ) {
        body += "<rect class=\"\(style)\" x=\"\(coordinate(x))\" y=\"\(coordinate(y))\" "
        body += "width=\"\(coordinate(max(width, 0)))\" height=\"\(coordinate(max(height, 0)))\""
        body += title.map { "><title>\(markup($0))</title></rect>" } ?? "/>"
    }

    /// - Parameter turned: degrees about its own place, clockwise.
    mutating func text(
        _ text: String, _ x: Double, _ y: Double, _ style: String, _ anchor: Anchor = .start, turned: Double? = nil
    ) {
        guard !text.isEmpty else { return }
        body += "<text class=\"\(style)\" x=\"\(coordinate(x))\" y=\"\(coordinate(y))\""
        if anchor != .start { body += " text-anchor=\"\(anchor.rawValue)\"" }
        if let turned { body += " transform=\"rotate(\(coordinate(turned)) \(coordinate(x)) \(coordinate(y)))\"" }
        body += ">\(markup(text))</text>"
    }

    mutating func marker(_ series: SeriesStyle, _ x: Double, _ y: Double, title: String? = nil) {
        let inside = title.map { "><title>\(markup($0))</title></path>" } ?? "/>"
        body += "<path class=\"\(series.markerClass)\" d=\"\(series.marker(x, y))\"" + inside
    }

    /// The element.
    ///
    /// - Parameters:
    ///   - style: its class: which widths of the page show it.
    ///   - label: what it is, for who cannot see it.
    func element(_ style: String, label: String) -> String {
        "<svg class=\"\(style)\" role=\"img\" aria-label=\"\(markup(label))\" "
            + "viewBox=\"0 0 \(coordinate(width)) \(coordinate(height))\">\(body)</svg>"
    }
}

/// How a series looks: a colour, a dash and a marker, so that colour never tells alone.
struct SeriesStyle {
    let index: Int
    var isDashed = false
    var isFaint = false

    static let colors = 8

    init(_ index: Int) { self.index = max(index, 0) }

    private var color: Int { index % Self.colors }
    /// Without colour, neighbours differ by their dash.
    var lineClass: String { "s s\(color) d\(isDashed ? 3 : index / Self.colors % 3)\(isFaint ? " faint" : "")" }
    var fillClass: String { "f\(color)" }
    var markerClass: String { "m f\(color)" }

    /// The path of a circle, square, diamond, triangle, or a triangle on its head.
    func marker(_ x: Double, _ y: Double) -> String {
        let r = 3.6
        func point(_ dx: Double, _ dy: Double) -> String { "\(coordinate(x + dx)) \(coordinate(y + dy))" }
        switch index % 5 {
        case 0:
            return "M\(point(-r, 0))a\(r) \(r) 0 1 0 \(coordinate(2 * r)) 0a\(r) \(r) 0 1 0 \(coordinate(-2 * r)) 0z"
        case 1: return "M\(point(-3.2, -3.2))h6.4v6.4h-6.4z"
        case 2: return "M\(point(0, -4.6))L\(point(4.6, 0))L\(point(0, 4.6))L\(point(-4.6, 0))z"
        case 3: return "M\(point(0, -4.4))L\(point(4.2, 3.2))L\(point(-4.2, 3.2))z"
        default: return "M\(point(0, 4.4))L\(point(4.2, -3.2))L\(point(-4.2, -3.2))z"
        }
    }
}
