import Foundation

/// Names of results: valid UTF-8, NFC, at most 255 bytes, nothing that Windows or Samba would mangle.
public struct OutputName: Hashable, Sendable {
    /// The part in front of the tail, already made safe.
    public let stem: String
    /// `t2v_42_Wan2_1_1_3B_20251224_153000`, as upstream names its files.
    public let tail: String

    /// Bytes kept free for the longest ending that is put after the base (`_999999.ERROR.txt`).
    public static let reservedBytes = 24

    /// - Parameters:
    ///   - stem: the input's stem, or the job's `output_name`.
    ///   - utcSecondsSince1970: acceptance or publishing time.
    ///   - utcOffset: seconds east of Greenwich of the clock that the name shows.
    public init(
        stem: String, mode: GenerationMode, seed: UInt64, model: String, secondsSince1970: Int, utcOffset: Int = 0
    ) {
        tail = "\(mode.rawValue)_\(seed)_\(Self.tag(model))_\(Self.stamp(secondsSince1970 + utcOffset))"
        let room = 255 - Self.reservedBytes - tail.utf8.count - 1
        self.stem = Self.sanitise(stem, maximumBytes: max(room, 1))
    }

    /// `<stem>_<tail>`.
    public var base: String { "\(stem)_\(tail)" }

    /// `<stem>_<tail>`, with `_2` and up behind it for a name already taken.
    public func base(attempt: Int) -> String { attempt <= 1 ? base : "\(base)_\(attempt)" }

    /// `<stem>_<tail>.<ext>`; `attempt` 2 and up makes `<stem>_<tail>_2.<ext>` for a name already taken.
    public func fileName(_ ext: String, attempt: Int = 1) -> String {
        "\(base(attempt: attempt)).\(ext)"
    }

    /// The stem that a film's name begins with: `cat` of `cat_t2v_42_Wan2_1_1_3B_20251224_153000_2`; nil for other names.
    public static func stem(ofFilm base: String) -> String? {
        var parts = base.split(separator: "_", omittingEmptySubsequences: false)
        func isNumber(_ part: Substring?, _ count: ClosedRange<Int>) -> Bool {
            part.map { count.contains($0.utf8.count) && $0.utf8.allSatisfy { (48...57).contains($0) } } ?? false
        }
        if isNumber(parts.last, 1...5) { parts.removeLast() }
        guard isNumber(parts.last, 6...6), isNumber(parts.dropLast().last, 8...8) else { return nil }
        parts.removeLast(2)
        // Mode, seed, and at least one word of a model; a stem may look like a mode as well.
        let place = parts.indices.dropLast(2).last {
            GenerationMode(rawValue: String(parts[$0])) != nil && isNumber(parts[$0 + 1], 1...20)
        }
        guard let place, place > 0 else { return nil }
        return parts[..<place].joined(separator: "_")
    }

    /// `Wan2.1-1.3B` -> `Wan2_1_1_3B`.
    public static func tag(_ model: String) -> String {
        let scalars = model.unicodeScalars.map { scalar -> Character in
            let isWord = scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
            return isWord ? Character(scalar) : "_"
        }
        return String(String(scalars).prefix(64))
    }

    /// `20251224_153000`, proleptic Gregorian.
    static func stamp(_ seconds: Int) -> String {
        var moment = time_t(seconds)
        var parts = tm()
        gmtime_r(&moment, &parts)
        func pad(_ value: Int32, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return pad(parts.tm_year + 1900, 4) + pad(parts.tm_mon + 1, 2) + pad(parts.tm_mday, 2) + "_"
            + pad(parts.tm_hour, 2) + pad(parts.tm_min, 2) + pad(parts.tm_sec, 2)
    }

    /// A name component that every client of a share can show, open and delete. Never empty, never a reserved name.
    public static func sanitise(_ name: String, maximumBytes: Int = 255) -> String {
        var scalars = String.UnicodeScalarView()
        for scalar in name.precomposedStringWithCanonicalMapping.unicodeScalars {
            scalars.append(isSafe(scalar) ? scalar : "_")
        }
        var result = trimmed(truncated(String(scalars), to: maximumBytes))
        let device = NameKey.fold(String(result.prefix { $0 != "." })).trimmingCharacters(in: .whitespaces)
        if reserved.contains(device) { result = trimmed(truncated("_" + result, to: maximumBytes)) }
        if result.hasPrefix(".") || result.hasPrefix("~") { result = "_" + result.dropFirst() }
        return result.isEmpty ? "_" : result
    }

    private static let reserved: Set<String> = {
        var names: Set<String> = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
        for digit in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "\u{B9}", "\u{B2}", "\u{B3}"] {
            names.insert("com" + digit)
            names.insert("lpt" + digit)
        }
        return names
    }()

    private static func isSafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case ":", "?", "*", "\"", "<", ">", "|", "\\", "/": return false
        default: break
        }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
            return scalar == "\u{200D}" || scalar == "\u{200C}"
        default: return true
        }
    }

    /// Cuts between characters, so that no letter loses its accent.
    private static func truncated(_ text: String, to bytes: Int) -> String {
        guard text.utf8.count > bytes else { return text }
        var result = ""
        var used = 0
        for character in text {
            let size = character.utf8.count
            guard used + size <= bytes else { break }
            result.append(character)
            used += size
        }
        return result
    }

    /// Without leading white space and without trailing dots and white space, which Windows drops.
    private static func trimmed(_ text: String) -> String {
        var view = Substring(text)
        while let last = view.last, last == "." || last.isWhitespace { view.removeLast() }
        while let first = view.first, first.isWhitespace { view.removeFirst() }
        return String(view)
    }
}
