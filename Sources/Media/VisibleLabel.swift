/// Words drawn into frames: white letters on a darkened ground, at the lower left.
///
/// Letters are at least 5 % of the frame's short side high, as GB 45438-2025 section 4.2 asks of labels on films.
public struct VisibleLabel: Equatable, Sendable {
    /// Least height of a capital letter as a share of the frame's short side.
    public static let leastShare = 0.05
    /// How long the label is shown from the first frame on, in seconds.
    public static let seconds = 2.0

    public let text: String
    let width: Int
    let height: Int
    /// Pixels of one dot.
    let scale: Int
    let lines: [[Character]]

    /// - Parameters:
    ///   - text: letters, digits and common marks of ASCII.
    ///   - width, height: of the frames, in pixels.
    /// - Throws: `MediaError` with code `.unsupported` for a character that the font lacks, or words that do not fit.
    public init(_ text: String, width: Int, height: Int) throws {
        if let stranger = text.first(where: { LabelFont.rows(of: $0) == nil }) {
            throw MediaError(
                .unsupported, "the label holds \(stranger), which cannot be drawn",
                hint: "use letters, digits and common marks of ASCII")
        }
        self.text = text
        self.width = width
        self.height = height
        let least = Double(min(width, height)) * Self.leastShare
        scale = max(1, Int((least / Double(LabelFont.height)).rounded(.up)))
        lines = Self.broken(text, columns: (width / scale - 4) / (LabelFont.width + 1))
        let needed = lines.count * Self.lineDots * scale
        guard !lines.isEmpty, needed <= height else {
            throw MediaError(
                .unsupported, "the label does not fit into \(width) x \(height) pixels", hint: "use fewer words")
        }
    }

    private static let lineDots = LabelFont.height + 2

    /// Height of a capital letter, in pixels.
    public var letterHeight: Int { LabelFont.height * scale }

    /// How many frames carry the label.
    public static func frameCount(framesPerSecond: Double) -> Int { Int((seconds * framesPerSecond).rounded(.up)) }

    /// Breaks between words, and within words that are longer than a line. Empty where no letter fits.
    private static func broken(_ text: String, columns: Int) -> [[Character]] {
        guard columns > 0 else { return [] }
        var lines: [[Character]] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= columns {
                lines[lines.count - 1] += [" "] + word
                continue
            }
            var rest = Array(word)[...]
            while !rest.isEmpty {
                lines.append(Array(rest.prefix(columns)))
                rest = rest.dropFirst(columns)
            }
        }
        return lines
    }

    /// Draws into one frame, `[height, width, 3]` RGB, that begins at `offset` of `frames`.
    /// - Precondition: the frame is there.
    public func draw(into frames: inout [UInt8], at offset: Int = 0) {
        precondition(offset >= 0 && frames.count - offset >= width * height * 3)
        let longest = lines.map(\.count).max() ?? 0
        let boxWidth = min(width, (longest * (LabelFont.width + 1) + 3) * scale)
        let boxHeight = min(height, (lines.count * Self.lineDots + 2) * scale)
        for y in (height - boxHeight)..<height {
            for sample in 0..<(boxWidth * 3) { frames[offset + y * width * 3 + sample] /= 4 }
        }
        for (row, line) in lines.enumerated() {
            let top = height - boxHeight + (row * Self.lineDots + 2) * scale
            for (column, character) in line.enumerated() {
                draw(
                    character, left: (column * (LabelFont.width + 1) + 2) * scale, top: top, into: &frames, at: offset)
            }
        }
    }

    private func draw(_ character: Character, left: Int, top: Int, into frames: inout [UInt8], at offset: Int) {
        for (dotY, bits) in (LabelFont.rows(of: character) ?? []).enumerated() {
            for dotX in 0..<LabelFont.width where bits & (0x10 >> UInt8(dotX)) != 0 {
                for y in (top + dotY * scale)..<min(height, top + (dotY + 1) * scale) {
                    let start = offset + (y * width + left + dotX * scale) * 3
                    let count = min(scale, width - left - dotX * scale)
                    guard count > 0 else { continue }
                    for sample in start..<(start + count * 3) { frames[sample] = 255 }
                }
            }
        }
    }
}
