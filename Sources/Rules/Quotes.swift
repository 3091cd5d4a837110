/// The quotation marks that editors put where somebody typed a plain one.
enum Quotes {
    /// What may close a text that `opening` opens; nil when it is no quotation mark.
    static func closers(of opening: Unicode.Scalar) -> Set<Unicode.Scalar>? {
        switch opening.value {
        case 0x22, 0xFF02: double
        case 0x201C, 0x201D, 0x201E, 0x201F: double
        case 0xAB: ["\u{BB}"]
        case 0xBB: ["\u{AB}", "\u{BB}"]
        case 0x300C: ["\u{300D}"]
        case 0x27: single
        case 0x2018, 0x2019, 0x201A, 0x201B: single
        default: nil
        }
    }

    private static let double: Set<Unicode.Scalar> = [
        "\"", "\u{201C}", "\u{201D}", "\u{201E}", "\u{201F}", "\u{FF02}",
    ]
    private static let single: Set<Unicode.Scalar> = ["'", "\u{2018}", "\u{2019}", "\u{201B}"]

    /// Whether backslashes mean something between these marks: in TOML's basic strings and their smart sisters.
    static func hasEscapes(_ opening: Unicode.Scalar) -> Bool {
        switch opening.value {
        case 0x22, 0xFF02, 0x201C, 0x201D, 0x201E, 0x201F: true
        default: false
        }
    }
}
