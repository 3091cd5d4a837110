/// One thing wrong with a rule, prompt or configuration file.
///
/// `code` decides what a program does, never the text. `message` says what happened, `hint` what to do.
public struct RuleProblem: Error, Hashable, Sendable, Codable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, Codable {
        /// The bytes are not text (encoding, control characters) or too many.
        case encoding, controlCharacter, tooLarge
        /// A line that is not `name = value`, an unclosed string or list, a section where none may stand.
        case syntax
        case unknownSetting, duplicateSetting, illegalValue
        /// Values that are legal alone but not together (seed list and prompt list of different lengths).
        case conflict
        case unknownModel, modelUnsuited
        case emptyPrompt
        /// Two rule files that mean the same folder.
        case ambiguousFile
        /// A required value is missing.
        case missing
    }

    /// The file as people see it: `rules/cats.toml`, `cat.prompt`.
    public var source: String
    /// 1-based; nil when the problem concerns the file as a whole.
    public var line: Int?
    /// 1-based, in Unicode scalars; nil when no single place is meant.
    public var column: Int?
    public var code: Code
    /// What happened, without the position: `aspekt_ratio: unknown setting; did you mean aspect_ratio?`
    public var message: String
    /// What to do about it, one sentence.
    public var hint: String

    public init(
        source: String, line: Int? = nil, column: Int? = nil, code: Code, message: String, hint: String
    ) {
        self.source = source
        self.line = line
        self.column = column
        self.code = code
        self.message = message
        self.hint = hint
    }

    /// `line 3: aspekt_ratio: unknown setting; did you mean aspect_ratio?`
    public var located: String {
        guard let line else { return message }
        return "line \(line): \(message)"
    }

    /// `rules/cats.toml, line 3: aspekt_ratio: ...`
    public var description: String {
        guard let line else { return "\(source): \(message)" }
        return "\(source), line \(line): \(message)"
    }
}

/// Everything wrong with one file or one job; never empty.
public struct RuleProblems: Error, Hashable, Sendable, Codable, CustomStringConvertible {
    public let all: [RuleProblem]

    public init(_ first: RuleProblem, _ rest: [RuleProblem] = []) {
        all = [first] + rest
    }

    /// - Returns: nil when `problems` is empty.
    public init?(_ problems: [RuleProblem]) {
        guard !problems.isEmpty else { return nil }
        all = problems
    }

    public var first: RuleProblem { all[0] }

    public var description: String {
        all.map(\.description).joined(separator: "; ")
    }

    /// The text of an `ERROR.txt`: line 1 what happened, line 2 what to do, then one line for each further problem.
    public var errorText: String {
        var lines = [first.description, first.hint]
        for problem in all.dropFirst() {
            lines.append("Also: \(problem.description)")
        }
        return lines.map(Self.oneLine).joined(separator: "\n") + "\n"
    }

    private static func oneLine(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 })
    }
}
