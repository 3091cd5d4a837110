extension PromptFile {
    /// Reads a `.prompt` (one prompt, the whole text) or `.prompts` file (one a line, `#` comments).
    ///
    /// Settings may stand at the top, closed by a line `---`; a line `---` above them is allowed too.
    /// - Throws: every problem of the head, or that there is no prompt.
    public static func read(
        _ bytes: [UInt8], source: String, isList: Bool
    ) throws(RuleProblems) -> PromptFile {
        let lines: [[Unicode.Scalar]]
        do {
            lines = try SourceText(bytes, source: source).lines
        } catch {
            throw RuleProblems(error)
        }
        let (head, bodyStart) = divide(lines)
        var layer = SettingLayer()
        if let head {
            layer = try SettingReader.read(
                source: source, lines: Array(lines[head]), firstLine: head.lowerBound + 1)
        } else if let problem = forgottenRule(lines, source: source) {
            throw RuleProblems(problem)
        }
        let entries = isList ? listed(lines, from: bodyStart) : whole(lines, from: bodyStart)
        return try finish(source: source, layer: layer, entries: entries, isList: isList)
    }

    private static func finish(
        source: String, layer: SettingLayer, entries: [Entry], isList: Bool
    ) throws(RuleProblems) -> PromptFile {
        guard let inHead = layer[.prompt] else {
            guard !entries.isEmpty else {
                throw RuleProblems(
                    RuleProblem(
                        source: source, code: .emptyPrompt,
                        message: isList ? "there is no prompt in the file" : "the prompt is empty",
                        hint: "Write what the film shall show and save the file again."))
            }
            guard entries.count <= JobExpansion.maximumJobs else {
                throw RuleProblems(
                    RuleProblem(
                        source: source, code: .tooLarge,
                        message: "\(entries.count) prompts in one file, more than \(JobExpansion.maximumJobs)",
                        hint: "Split the list over several files."))
            }
            return PromptFile(source: source, head: layer, prompts: entries)
        }
        if let entry = entries.first {
            throw RuleProblems(
                RuleProblem(
                    source: source, line: entry.line, code: .conflict,
                    message: "a prompt below the settings and another in line \(inHead.line)",
                    hint: "Keep one of the two."))
        }
        let prompts = (layer.prompts ?? []).map { Entry(text: $0, line: inHead.line) }
        var head = layer
        head[.prompt] = nil
        return PromptFile(source: source, head: head, prompts: prompts)
    }

    /// The lines of the head, without the closing `---`, and the first line of the body.
    private static func divide(_ lines: [[Unicode.Scalar]]) -> (head: Range<Int>?, body: Int) {
        let marks = lines.indices.filter { isRule(lines[$0]) }
        guard let first = marks.first else { return (nil, 0) }
        let blankAbove = lines[..<first].allSatisfy { $0.allSatisfy(\.isBlank) }
        if blankAbove, marks.count > 1 { return (first + 1..<marks[1], marks[1] + 1) }
        return (0..<first, first + 1)
    }

    /// Three or more hyphens, or the dash that an editor made of them.
    private static func isRule(_ line: [Unicode.Scalar]) -> Bool {
        let text = line.trimmedText.unicodeScalars
        guard !text.isEmpty, text.allSatisfy({ $0 == "-" || (0x2010...0x2015).contains($0.value) }) else {
            return false
        }
        return text.count >= 3 || text.contains { $0.value == 0x2014 || $0.value == 0x2015 }
    }

    /// A first line that can only be a setting, in a file without `---`: nothing runs until it is clear.
    private static func forgottenRule(_ lines: [[Unicode.Scalar]], source: String) -> RuleProblem? {
        guard let row = lines.firstIndex(where: { !$0.allSatisfy(\.isBlank) }),
            let layer = try? SettingReader.read(source: source, lines: [lines[row]], firstLine: row + 1),
            let name = layer.values.keys.first
        else { return nil }
        let free = SettingDefinition.of(name).isFreeText || name == .model
        let separator = lines[row].first(where: { StatementReader.isSeparator($0) })
        if free, separator == ":" || separator == "\u{FF1A}" { return nil }
        return RuleProblem(
            source: source, line: row + 1, column: 1, code: .syntax,
            message: "\(name.rawValue): a setting, but no line --- closes the settings",
            hint: "Put a line of three hyphens (---) between the settings and the prompt.")
    }

    private static func whole(_ lines: [[Unicode.Scalar]], from start: Int) -> [Entry] {
        guard let first = lines[start...].firstIndex(where: { !$0.allSatisfy(\.isBlank) }),
            let last = lines[start...].lastIndex(where: { !$0.allSatisfy(\.isBlank) })
        else { return [] }
        let text = lines[first...last].map(\.trimmedText).joined(separator: "\n")
        return [Entry(text: text, line: first + 1)]
    }

    private static func listed(_ lines: [[Unicode.Scalar]], from start: Int) -> [Entry] {
        lines[start...].indices.compactMap { row in
            let text = lines[row].trimmedText
            return text.isEmpty || text.hasPrefix("#") ? nil : Entry(text: text, line: row + 1)
        }
    }
}
