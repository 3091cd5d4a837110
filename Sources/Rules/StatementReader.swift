/// Reads the forgiving `name = value` language of rule files, prompt heads and the service's configuration.
///
/// A TOML file of plain keys, strings, numbers, booleans and lists means here what it means in TOML. Beyond that:
/// `name: value`, any case of names, bare words, smart quotes, bare lists, `#` and `;` comments. Every statement knows
/// its line and column, and reading goes on after a mistake, so that all of them are reported at once. The TOML
/// libraries at hand offer neither, and one of them aborts the process on bad input.
struct StatementReader {
    /// What the reader must know about the names it will meet.
    struct Vocabulary: Sendable {
        /// Whether `[section]` lines are legal.
        var sections: Bool
        /// Folded names; used to find where an unclosed list ends.
        var isKnown: @Sendable (String) -> Bool
        /// Settings whose bare values may hold `#`, `;` and commas.
        var isFreeText: @Sendable (String) -> Bool
    }

    let source: String
    let lines: [[Unicode.Scalar]]
    let vocabulary: Vocabulary
    /// Added to every line number.
    let firstLine: Int

    var row = 0
    var column = 0
    var section = ""
    var statements: [Statement] = []
    var problems: [RuleProblem] = []

    init(source: String, lines: [[Unicode.Scalar]], firstLine: Int = 1, vocabulary: Vocabulary) {
        self.source = source
        self.lines = lines
        self.firstLine = firstLine
        self.vocabulary = vocabulary
    }

    /// Reads every line. Afterwards `statements` and `problems` hold the result.
    mutating func readAll() {
        while row < lines.count {
            column = 0
            readLine()
            row += 1
        }
    }

    var line: [Unicode.Scalar] { lines[row] }
    var lineNumber: Int { firstLine + row }

    mutating func skipBlanks() {
        while column < line.count, line[column].isBlank { column += 1 }
    }

    var isAtEndOrComment: Bool {
        column >= line.count || line[column] == "#" || line[column] == ";"
    }

    mutating func report(
        line: Int? = nil, column: Int? = nil, _ code: RuleProblem.Code, _ message: String, hint: String
    ) {
        problems.append(
            RuleProblem(
                source: source, line: line ?? lineNumber, column: column ?? self.column + 1, code: code,
                message: message, hint: hint))
    }

    private mutating func readLine() {
        skipBlanks()
        if isAtEndOrComment { return }
        if line[column] == "[" {
            readSection()
            return
        }
        let start = column
        guard let name = readName() else { return }
        let key = Statement.fold(name)
        let startLine = lineNumber
        skipBlanks()
        guard !isAtEndOrComment else {
            report(
                column: start + 1, .syntax, "\(name): no value",
                hint: "Write a value after the sign, or delete the line to take the default.")
            return
        }
        if let value = readValue(name: name, key: key) {
            statements.append(
                Statement(
                    section: section, name: name, key: key, line: startLine, column: start + 1, value: value))
        }
    }

    /// `[section]`; leaves the rest of the line unread.
    private mutating func readSection() {
        let text = Array(line[column...]).trimmedText
        guard vocabulary.sections else {
            report(
                .syntax, "\(Self.shown(text)): sections have no meaning here",
                hint: "Delete the line; a folder's settings stand one below the other without headings.")
            return
        }
        guard let end = line[column...].firstIndex(of: "]"), !text.hasPrefix("[[") else {
            report(.syntax, "\(Self.shown(text)): not a section heading", hint: "Write it as [name].")
            return
        }
        let name = Array(line[(column + 1)..<end]).trimmedText
        column = end + 1
        skipBlanks()
        guard isAtEndOrComment else {
            report(
                .syntax, "text after the section heading [\(Self.shown(name))]", hint: "Put it on a line of its own.")
            return
        }
        section = Statement.fold(name)
    }

    /// The name in front of `=` or `:`; nil after reporting that there is none.
    private mutating func readName() -> String? {
        let start = column
        var scan = column
        if let close = Quotes.closers(of: line[start]) {
            scan += 1
            while scan < line.count, !close.contains(line[scan]) { scan += 1 }
        }
        while scan < line.count, !Self.isSeparator(line[scan]) { scan += 1 }
        guard scan < line.count else {
            reportNoSeparator(Array(line[start...]).trimmedText)
            return nil
        }
        var name = Array(line[start..<scan]).trimmedText
        if let first = name.unicodeScalars.first, let close = Quotes.closers(of: first),
            let last = name.unicodeScalars.last, name.unicodeScalars.count > 1, close.contains(last)
        {
            name = Array(name.unicodeScalars.dropFirst().dropLast()).trimmedText
        }
        column = scan + 1
        guard !name.isEmpty else {
            report(column: start + 1, .syntax, "a value without a name", hint: "Write name = value.")
            return nil
        }
        return Self.shown(name)
    }

    private mutating func reportNoSeparator(_ text: String) {
        let word = text.split(whereSeparator: \.isWhitespace).first.map(String.init) ?? text
        let known = vocabulary.isKnown(Statement.fold(word))
        report(
            .syntax, "\(Self.shown(text)): not of the form name = value",
            hint: known
                ? "Put = between \(Self.shown(word)) and its value."
                : "Write one setting per line as name = value; comments begin with #.")
    }

    static func isSeparator(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "=" || scalar == ":" || scalar == "\u{FF1D}" || scalar == "\u{FF1A}"
    }

    /// Text from a file as it may stand in a message: one line, not too long.
    static func shown(_ text: String) -> String {
        let limit = 60
        var result = ""
        for character in text.prefix(limit) {
            result.append(character.isNewline || character == "\t" ? " " : character)
        }
        return text.count > limit ? result + "..." : result
    }
}
