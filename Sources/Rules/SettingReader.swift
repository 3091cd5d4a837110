/// From statements to typed settings, or to everything that is wrong with them.
enum SettingReader {
    static let vocabulary = StatementReader.Vocabulary(
        sections: false,
        isKnown: { SettingName(rawValue: $0) != nil },
        isFreeText: { SettingName(rawValue: $0).map { SettingDefinition.of($0).isFreeText } ?? false })

    /// Reads settings from lines of text.
    ///
    /// - Parameter firstLine: number of the first of `lines` in its file.
    static func read(
        source: String, lines: [[Unicode.Scalar]], firstLine: Int = 1
    ) throws(RuleProblems) -> SettingLayer {
        var reader = StatementReader(source: source, lines: lines, firstLine: firstLine, vocabulary: vocabulary)
        reader.readAll()
        var problems = reader.problems
        var layer = SettingLayer()
        for statement in reader.statements {
            guard let name = SettingName(rawValue: statement.key) else {
                problems.append(unknown(statement, source: source, candidates: SettingName.allCases.map(\.rawValue)))
                continue
            }
            if let earlier = layer[name] {
                problems.append(
                    RuleProblem(
                        source: source, line: statement.line, column: statement.column, code: .duplicateSetting,
                        message: "\(name.rawValue): already set in line \(earlier.line)",
                        hint: "Delete one of the two lines."))
                continue
            }
            do {
                let value = try ValueReader(statement: statement, source: source).read(SettingDefinition.of(name))
                layer[name] = SourcedValue(value, source: source, line: statement.line)
            } catch {
                problems.append(error)
            }
        }
        problems.sort { ($0.line ?? 0, $0.column ?? 0) < ($1.line ?? 0, $1.column ?? 0) }
        if let found = RuleProblems(problems) { throw found }
        return layer
    }

    static func unknown(_ statement: Statement, source: String, candidates: [String]) -> RuleProblem {
        let close = Suggestion.closest(to: statement.key, among: candidates)
        let question = close.map { "; did you mean \($0)?" } ?? ""
        let hint =
            close.map { "Write \($0), or delete the line." }
            ?? "Delete the line, or use one of: \(candidates.joined(separator: ", "))."
        return RuleProblem(
            source: source, line: statement.line, column: statement.column, code: .unknownSetting,
            message: "\(statement.name): unknown setting\(question)", hint: hint)
    }
}
