/// Turns one statement into a typed value, by the kind its setting has.
struct ValueReader {
    let statement: Statement
    let source: String

    func read(_ definition: SettingDefinition) throws(RuleProblem) -> SettingValue {
        let name = definition.name.rawValue
        switch definition.kind {
        case .modelName:
            let item = try single()
            guard !item.text.isEmpty, item.text.utf8.count <= 200 else { throw illegal(item, definition) }
            return .text(item.text)
        case .resolution:
            return .text(try resolution(definition))
        case .aspectRatio:
            return .text(try aspectRatio(definition))
        case .boolean:
            return .boolean(try boolean(try single(), legal: definition.legal))
        case .integer(let range):
            let hint = name == "steps" ? "The models are distilled for 1 to 4 steps; more gain nothing." : nil
            return .integer(try integer(try single(), in: range, legal: definition.legal, hint: hint))
        case .frameCount(let range):
            let item = try single()
            let count = try integer(item, in: range, legal: definition.legal)
            guard count % 4 == 1 else {
                let below = max(1, count - (count + 3) % 4)
                throw illegal(
                    item, definition, hint: "Frames come as 4n+1; the nearest are \(below) and \(below + 4).")
            }
            return .integer(count)
        case .number(let range, let above):
            return .number(try number(try single(), in: range, aboveLowerBound: above, legal: definition.legal))
        case .choice(let words):
            return .text(try choice(try single(), among: words, legal: definition.legal))
        case .text:
            let item = try single()
            let value = try text(item)
            if definition.name == .outputName { try checkPlaceholders(item) }
            return .text(value)
        case .prompts:
            return try prompts()
        case .seed:
            return try seed(definition)
        case .label:
            return .text(try label(try single(), definition))
        }
    }

    /// The value when it is one; a list is refused, with a word about decimal commas.
    func single() throws(RuleProblem) -> Statement.Item {
        switch statement.value {
        case .one(let item): return item
        case .list(let items):
            let bare = items.map(\.text).joined(separator: ",")
            let isDecimal = items.count == 2 && items.allSatisfy { !$0.quoted && Int($0.text) != nil }
            throw problem(
                items.first, .illegalValue, "\(statement.name): \(StatementReader.shown(bare)) is a list",
                hint: isDecimal
                    ? "Write decimals with a point: \(items[0].text).\(items[1].text)."
                    : "Write one value.")
        }
    }

    func integer(
        _ item: Statement.Item, in range: ClosedRange<Int>, legal: String, hint: String? = nil
    ) throws(RuleProblem) -> Int {
        guard let value = Self.plainInteger(item.text), range.contains(value) else {
            throw illegal(item, legal: legal, hint: hint)
        }
        return value
    }

    func number(
        _ item: Statement.Item, in range: ClosedRange<Double>, aboveLowerBound: Bool, legal: String
    ) throws(RuleProblem) -> Double {
        let digits = Set("0123456789+-.eE_".unicodeScalars)
        guard item.text.unicodeScalars.allSatisfy(digits.contains), item.text.utf8.count <= 40,
            let value = Double(item.text.filter { $0 != "_" }), value.isFinite, range.contains(value),
            !aboveLowerBound || value > range.lowerBound
        else {
            let comma = item.text.contains(",") && !item.text.contains(".")
            let point = item.text.map { $0 == "," ? "." : String($0) }.joined()
            throw illegal(item, legal: legal, hint: comma ? "Write decimals with a point: \(point)." : nil)
        }
        return value
    }

    func boolean(_ item: Statement.Item, legal: String) throws(RuleProblem) -> Bool {
        switch item.text.lowercased() {
        case "yes", "on", "true", "1", "y": return true
        case "no", "off", "false", "0", "n": return false
        default: throw illegal(item, legal: legal, suggestion: ["yes", "no", "true", "false", "on", "off"])
        }
    }

    /// Empty for none.
    private func label(_ item: Statement.Item, _ definition: SettingDefinition) throws(RuleProblem) -> String {
        if !item.quoted, let isWanted = try? boolean(item, legal: definition.legal) {
            return isWanted ? SettingDefinition.standardLabel : ""
        }
        let isDrawable = item.text.allSatisfy {
            ($0.isASCII && ($0.isLetter || $0.isNumber)) || SettingDefinition.labelMarks.contains($0)
        }
        guard isDrawable, item.text.count <= SettingDefinition.maximumLabelCount else {
            throw illegal(item, definition)
        }
        return item.text
    }

    func choice(_ item: Statement.Item, among words: [String], legal: String) throws(RuleProblem) -> String {
        let word = item.text.lowercased()
        guard words.contains(word) else { throw illegal(item, legal: legal, suggestion: words) }
        return word
    }

    func text(_ item: Statement.Item) throws(RuleProblem) -> String {
        guard item.text.utf8.count <= SettingDefinition.maximumTextBytes else {
            throw problem(
                item, .illegalValue, "\(statement.name): the text has \(item.text.utf8.count) bytes, more than 16 KiB",
                hint: "Shorten it; the model reads about 500 words.")
        }
        return item.text
    }

    private func checkPlaceholders(_ item: Statement.Item) throws(RuleProblem) {
        let rest = item.text.split(separator: "{stem}").joined()
        guard !rest.contains("{"), !rest.contains("}") else {
            throw problem(
                item, .illegalValue, "\(statement.name): only {stem} may stand in braces",
                hint: "Seed, model and time are put behind the name anyway.")
        }
    }

    /// ASCII digits with an optional sign, `_` between digits.
    static func plainInteger(_ text: String) -> Int? {
        let sign = text.first == "+" || text.first == "-"
        let digits = text.dropFirst(sign ? 1 : 0)
        guard let first = digits.first, let last = digits.last, first != "_", last != "_",
            digits.allSatisfy({ $0 == "_" || ($0.isASCII && $0.isNumber) })
        else { return nil }
        return Int((text.first == "-" ? "-" : "") + digits.filter { $0 != "_" })
    }

    func problem(
        _ item: Statement.Item?, _ code: RuleProblem.Code, _ message: String, hint: String
    ) -> RuleProblem {
        RuleProblem(
            source: source, line: item?.line ?? statement.line, column: item?.column ?? statement.column, code: code,
            message: message, hint: hint)
    }

    func illegal(_ item: Statement.Item, _ definition: SettingDefinition, hint: String? = nil) -> RuleProblem {
        illegal(item, legal: definition.legal, hint: hint)
    }

    /// `steps: 9 is not legal; legal: 1 to 4`
    func illegal(
        _ item: Statement.Item, legal: String, hint: String? = nil, suggestion words: [String] = []
    ) -> RuleProblem {
        let shown = item.text.isEmpty ? "an empty value" : StatementReader.shown(item.text)
        let close = Suggestion.closest(to: item.text, among: words)
        let question = close.map { "; did you mean \($0)?" } ?? "; legal: \(legal)"
        return problem(
            item, .illegalValue, "\(statement.name): \(shown) is not legal\(question)",
            hint: hint ?? "Write \(legal).")
    }
}
