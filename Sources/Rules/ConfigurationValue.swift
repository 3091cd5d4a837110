/// A value of the service's configuration, read but not yet in its place.
enum ConfigurationValue: Hashable, Sendable {
    case text(String)
    case texts([String])
    case integer(Int)
    case number(Double)
    case off
    case boolean(Bool)
}

extension ValueReader {
    func read(_ key: ConfigurationKey) throws(RuleProblem) -> ConfigurationValue {
        switch key.kind {
        case .path:
            return .text(try path(try single(), legal: key.legal))
        case .paths:
            guard case .list(let items) = statement.value else {
                return .texts([try path(try single(), legal: key.legal)])
            }
            var paths: [String] = []
            for item in items { paths.append(try path(item, legal: key.legal)) }
            return .texts(paths)
        case .name:
            return .text(try text(try single()))
        case .integer(let range):
            return .integer(try integer(try single(), in: range, legal: key.legal))
        case .duration(let range):
            return .number(try duration(try single(), in: range, legal: key.legal))
        case .optionalDuration(let range):
            let item = try single()
            if ["off", "no", "never"].contains(item.text.lowercased()) { return .off }
            return .number(try duration(item, in: range, legal: key.legal))
        case .bytes(let range):
            return .integer(try bytes(try single(), in: range, legal: key.legal))
        case .optionalBytes(let range):
            let item = try single()
            if ["off", "no", "never"].contains(item.text.lowercased()) { return .off }
            return .integer(try bytes(item, in: range, legal: key.legal))
        case .boolean:
            return .boolean(try boolean(try single(), legal: key.legal))
        case .url:
            let item = try single()
            let isAddress = ["http://", "https://"].contains {
                item.text.lowercased().hasPrefix($0) && item.text.count > $0.count
            }
            let isClean = item.text.utf8.allSatisfy {
                $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
            }
            guard item.text.isEmpty || (isAddress && isClean && item.text.utf8.count <= 2048) else {
                throw illegal(item, legal: key.legal)
            }
            return .text(item.text)
        case .devices:
            let items: [Statement.Item] = if case .list(let items) = statement.value { items } else { [try single()] }
            if items.count == 1, ["", "all"].contains(items[0].text.lowercased()) {
                return .text(items[0].text.lowercased())
            }
            var numbers: [String] = []
            for item in items {
                guard let number = Int(item.text), (0...63).contains(number), !numbers.contains("\(number)") else {
                    throw illegal(item, legal: key.legal)
                }
                numbers.append("\(number)")
            }
            return .texts(numbers)
        case .choice(let words):
            return .text(try choice(try single(), among: words, legal: key.legal))
        }
    }

    private func path(_ item: Statement.Item, legal: String) throws(RuleProblem) -> String {
        guard !item.text.isEmpty, item.text.utf8.count < 4096, !item.text.contains(where: \.isNewline) else {
            throw illegal(item, legal: legal)
        }
        return item.text
    }

    private func duration(
        _ item: Statement.Item, in range: ClosedRange<Double>, legal: String
    ) throws(RuleProblem) -> Double {
        let units = ["": 1.0, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400]
        return try quantity(item, units: units, in: range, legal: legal)
    }

    private func bytes(_ item: Statement.Item, in range: ClosedRange<Int>, legal: String) throws(RuleProblem) -> Int {
        let units = [
            "mib": Double(1 << 20), "gib": Double(1 << 30), "mb": 1e6, "gb": 1e9, "m": Double(1 << 20),
            "g": Double(1 << 30),
        ]
        let limits = Double(range.lowerBound)...Double(range.upperBound)
        return Int(try quantity(item, units: units, in: limits, legal: legal))
    }

    /// A number and a unit.
    private func quantity(
        _ item: Statement.Item, units: [String: Double], in range: ClosedRange<Double>, legal: String
    ) throws(RuleProblem) -> Double {
        let compact = item.text.lowercased().filter { !$0.isWhitespace }
        let digits = compact.prefix { ($0.isASCII && $0.isNumber) || $0 == "." }
        let unit = String(compact.dropFirst(digits.count))
        guard digits.count <= 20, let number = Double(digits), let factor = units[unit],
            range.contains(number * factor)
        else { throw illegal(item, legal: legal) }
        return number * factor
    }
}
