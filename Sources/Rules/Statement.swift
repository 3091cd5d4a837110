/// One `name = value` of a file, before anybody asks what it means.
struct Statement: Sendable {
    /// A piece of a value: a quoted text or a bare word.
    struct Item: Sendable {
        var text: String
        var quoted: Bool
        var line: Int
        var column: Int
    }

    enum Value: Sendable {
        case one(Item)
        case list([Item])
    }

    /// Folded name of the section it stands in; "" before the first.
    var section: String
    /// As written.
    var name: String
    /// Lower case, `-` and blanks as `_`.
    var key: String
    var line: Int
    var column: Int
    var value: Value

    static func fold(_ name: String) -> String {
        var folded = ""
        for scalar in name.unicodeScalars where scalar.value != 0x200B && scalar.value != 0xFEFF {
            if scalar == "-" || scalar.isBlank {
                folded.append("_")
            } else {
                folded.append(contentsOf: scalar.properties.lowercaseMapping)
            }
        }
        return folded
    }
}
