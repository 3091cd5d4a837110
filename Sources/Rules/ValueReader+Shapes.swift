extension ValueReader {
    /// A resolution name in lower case without blanks, or `<width>x<height>`.
    func resolution(_ definition: SettingDefinition) throws(RuleProblem) -> String {
        let item = try single()
        let compact = item.text.lowercased().filter { !$0.isWhitespace }
        if let size = Self.pair(compact, separators: ["x", "\u{D7}", "*"]) {
            return "\(size.0)x\(size.1)"
        }
        guard let first = compact.first, first.isLetter || first.isNumber, compact.utf8.count <= 32 else {
            throw illegal(item, definition)
        }
        // "480" is what people write for "480p".
        return compact.allSatisfy({ $0.isASCII && $0.isNumber }) ? compact + "p" : compact
    }

    /// `16:9`, from `16:9`, `16x9`, `16/9` and the like.
    func aspectRatio(_ definition: SettingDefinition) throws(RuleProblem) -> String {
        let item = try single()
        let compact = item.text.lowercased().filter { !$0.isWhitespace }
        guard let ratio = Self.pair(compact, separators: [":", "x", "\u{D7}", "/", "\u{FF1A}"]),
            (1...100).contains(ratio.0), (1...100).contains(ratio.1)
        else { throw illegal(item, definition, hint: "Write 16:9, 9:16, 4:3, 3:4 or 1:1.") }
        return "\(ratio.0):\(ratio.1)"
    }

    private static func pair(_ text: String, separators: Set<Character>) -> (Int, Int)? {
        let parts = text.split(omittingEmptySubsequences: false, whereSeparator: separators.contains)
        guard parts.count == 2, parts.allSatisfy({ $0.count <= 6 && $0.first != "+" && $0.first != "-" }),
            let first = plainInteger(String(parts[0])), let second = plainInteger(String(parts[1]))
        else { return nil }
        return (first, second)
    }

    func prompts() throws(RuleProblem) -> SettingValue {
        switch statement.value {
        case .one(let item):
            return .text(try prompt(item))
        case .list(let items):
            try checkCount(items)
            var texts: [String] = []
            for item in items { texts.append(try prompt(item)) }
            return texts.count == 1 ? .text(texts[0]) : .texts(texts)
        }
    }

    private func prompt(_ item: Statement.Item) throws(RuleProblem) -> String {
        let text = try text(item)
        guard text.contains(where: { !$0.isWhitespace }) else {
            throw problem(
                item, .emptyPrompt, "\(statement.name): the prompt is empty",
                hint: "Write what the film shall show, or delete the line.")
        }
        return text
    }

    func seed(_ definition: SettingDefinition) throws(RuleProblem) -> SettingValue {
        switch statement.value {
        case .one(let item):
            if item.text.lowercased() == "random" { return .seed(.random) }
            return .seed(.fixed(try seedNumber(item, definition)))
        case .list(let items):
            try checkCount(items)
            var numbers: [UInt64] = []
            for item in items {
                let number = try seedNumber(item, definition)
                guard !numbers.contains(number) else {
                    throw problem(
                        item, .illegalValue, "\(statement.name): \(number) stands twice in the list",
                        hint: "The same seed gives the same film; delete one of the two.")
                }
                numbers.append(number)
            }
            return numbers.count == 1 ? .seed(.fixed(numbers[0])) : .seeds(numbers)
        }
    }

    private func seedNumber(_ item: Statement.Item, _ definition: SettingDefinition) throws(RuleProblem) -> UInt64 {
        guard let number = Self.plainInteger(item.text), number >= 0 else {
            let close = Suggestion.closest(to: item.text, among: ["random"])
            throw illegal(
                item, legal: definition.legal,
                hint: item.text.lowercased() == "random"
                    ? "random cannot stand in a list; write variations = 5 beside seed = random." : nil,
                suggestion: close.map { [$0] } ?? [])
        }
        return UInt64(number)
    }

    private func checkCount(_ items: [Statement.Item]) throws(RuleProblem) {
        guard !items.isEmpty else {
            throw problem(
                nil, .illegalValue, "\(statement.name): the list is empty", hint: "Write a value, or delete the line.")
        }
        guard items.count <= SettingDefinition.maximumListCount else {
            throw problem(
                nil, .illegalValue, "\(statement.name): the list has \(items.count) entries, more than 1000",
                hint: "Split it over several files.")
        }
    }
}
