extension StatementReader {
    /// A quoted text that begins at `column`; nil after reporting. `column` ends up behind the closing mark.
    ///
    /// - Parameters:
    ///   - inList: a comma or bracket may follow the closing mark.
    ///   - orList: a comma may follow, because a bare list may begin here.
    mutating func readQuoted(name: String, inList: Bool, orList: Bool = false) -> Statement.Item? {
        let opening = line[column]
        if opening == "\"" || opening == "'", line[column...].starts(with: [opening, opening, opening]) {
            return readMultiline(name: name, mark: opening)
        }
        let start = column
        let startLine = lineNumber
        guard let end = closingMark(opening, inList: inList || orList, inBrackets: inList) else {
            report(
                .syntax, "\(name): the quotation mark is not closed",
                hint: "End the text with the same mark it begins with, at the end of the line.")
            return nil
        }
        let body = Array(line[(start + 1)..<end])
        column = end + 1
        guard let text = unescaped(body, opening: opening, name: name, column: start + 1) else { return nil }
        return .init(text: text, quoted: true, line: startLine, column: start + 1)
    }

    /// The index of the mark that closes a text: the first that is followed by the end of the value. Marks of the
    /// opening's own kind go first, so that everything legal in TOML reads as TOML reads it.
    private func closingMark(_ opening: Unicode.Scalar, inList: Bool, inBrackets: Bool) -> Int? {
        guard let any = Quotes.closers(of: opening) else { return nil }
        let isPlain = opening == "\"" || opening == "'"
        let attempts: [Set<Unicode.Scalar>] = isPlain ? [[opening], any] : [any]
        for marks in attempts {
            var index = column + 1
            while index < line.count {
                if line[index] == "\\", Quotes.hasEscapes(opening) {
                    index += 2
                    continue
                }
                if marks.contains(line[index]), endsValue(index + 1, inList: inList, inBrackets: inBrackets) {
                    return index
                }
                index += 1
            }
        }
        // None ends the value: the first ends the text, and what follows is reported.
        var index = column + 1
        while index < line.count, !any.contains(line[index]) {
            index += line[index] == "\\" && Quotes.hasEscapes(opening) ? 2 : 1
        }
        return index < line.count ? index : nil
    }

    private func endsValue(_ index: Int, inList: Bool, inBrackets: Bool) -> Bool {
        var index = index
        while index < line.count, line[index].isBlank { index += 1 }
        guard index < line.count else { return true }
        switch line[index] {
        case "#", ";": return true
        case ",": return inList
        case "]": return inBrackets
        default: return false
        }
    }

    /// `"""..."""` or `'''...'''`.
    private mutating func readMultiline(name: String, mark: Unicode.Scalar) -> Statement.Item? {
        let startRow = row
        let startColumn = column
        let marks = [mark, mark, mark]
        var body: [Unicode.Scalar] = []
        var scan = column + 3
        var scanRow = row
        while true {
            let text = lines[scanRow]
            while scan < text.count {
                if text[scan] == "\\", mark == "\"", scan + 1 < text.count {
                    body.append(contentsOf: text[scan...(scan + 1)])
                    scan += 2
                } else if text[scan...].starts(with: marks) {
                    // Up to two more marks belong to the text: ""a"""" ends in a quoted mark.
                    var end = scan
                    while end - scan < 2, end + 3 < text.count, text[end + 3] == mark { end += 1 }
                    body.append(contentsOf: text[scan..<end])
                    row = scanRow
                    column = end + 3
                    if body.first == "\n" { body.removeFirst() }
                    let text = unescaped(
                        body, opening: mark, name: name, line: firstLine + startRow, column: startColumn + 1)
                    return text.map {
                        .init(text: $0, quoted: true, line: firstLine + startRow, column: startColumn + 1)
                    }
                } else {
                    body.append(text[scan])
                    scan += 1
                }
            }
            guard scanRow + 1 < lines.count else { break }
            scanRow += 1
            scan = 0
            body.append("\n")
        }
        let shown = String(repeating: Character(mark), count: 3)
        report(.syntax, "\(name): the text begun with \(shown) is not closed", hint: "End it with \(shown).")
        while row + 1 < lines.count, !startsStatement(row + 1) { row += 1 }
        return nil
    }

    /// Backslash escapes of TOML's basic strings resolved; single-quoted texts as they are.
    private mutating func unescaped(
        _ body: [Unicode.Scalar], opening: Unicode.Scalar, name: String, line: Int? = nil, column: Int
    ) -> String? {
        guard Quotes.hasEscapes(opening), body.contains("\\") else { return body.text }
        var result: [Unicode.Scalar] = []
        var index = 0
        while index < body.count {
            guard body[index] == "\\" else {
                result.append(body[index])
                index += 1
                continue
            }
            guard index + 1 < body.count else { break }
            let letter = body[index + 1]
            index += 2
            switch letter {
            case "n": result.append("\n")
            case "t": result.append("\t")
            case "r": result.append("\r")
            case "\"", "\\": result.append(letter)
            case "u", "U":
                let count = letter == "u" ? 4 : 8
                let digits = body[index..<min(index + count, body.count)]
                guard digits.count == count, digits.allSatisfy(\.properties.isASCIIHexDigit),
                    let value = UInt32(Array(digits).text, radix: 16), let scalar = Unicode.Scalar(value),
                    scalar.value >= 0x20, !(0x7F...0x9F).contains(scalar.value)
                else {
                    reportEscape(letter, name: name, line: line, column: column)
                    return nil
                }
                result.append(scalar)
                index += count
            case "\n" where body.count > 0, " ", "\t":
                // A backslash before a line's end swallows the white space up to the next word.
                let rest = body[(index - 1)...]
                let next = rest.firstIndex { !$0.isBlank && $0 != "\n" } ?? body.count
                guard rest[..<next].contains("\n") else {
                    reportEscape(letter, name: name, line: line, column: column)
                    return nil
                }
                index = next
            default:
                reportEscape(letter, name: name, line: line, column: column)
                return nil
            }
        }
        return result.text
    }

    private mutating func reportEscape(_ letter: Unicode.Scalar, name: String, line: Int?, column: Int) {
        report(
            line: line, column: column, .syntax, "\(name): \\\(Self.shown(String(letter))) is not an escape",
            hint: "Write \\\\ for a backslash, or put the text between single quotation marks.")
    }
}
