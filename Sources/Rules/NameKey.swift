import Foundation

/// Equality of names as people on a share see it: case and Unicode normal form do not matter.
public enum NameKey {
    /// NFC of the simple case folding, scalar by scalar: `CAFÉ` (composed or not) and `café` are equal, `Maße` and
    /// `Masse` are not.
    public static func fold(_ name: String) -> String {
        let composed = name.precomposedStringWithCanonicalMapping
        var folded = String.UnicodeScalarView()
        folded.reserveCapacity(composed.utf8.count)
        for scalar in composed.unicodeScalars {
            folded.append(foldScalar(scalar))
        }
        return String(folded).precomposedStringWithCanonicalMapping
    }

    /// A folder path ("Drafts/Night"), folded component by component; "" is the inbox itself.
    public static func foldPath(_ path: String) -> String {
        path.split(separator: "/", omittingEmptySubsequences: true).map { fold(String($0)) }.joined(separator: "/")
    }

    private static func foldScalar(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        if scalar.isASCII {
            return (65...90).contains(scalar.value) ? Unicode.Scalar(UInt8(scalar.value + 32)) : scalar
        }
        let upper = single(scalar.properties.uppercaseMapping) ?? scalar
        return single(upper.properties.lowercaseMapping) ?? upper
    }

    private static func single(_ mapping: String) -> Unicode.Scalar? {
        let scalars = mapping.unicodeScalars
        return scalars.count == 1 ? scalars.first : nil
    }
}
