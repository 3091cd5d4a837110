import Foundation
import Testing

@testable import Text

@Suite struct CleaningTests {
    @Test(arguments: ["cases_a.json", "cases_b.json"])
    func everyPromptIsCleanedAsUpstreamDoes(_ file: String) throws {
        let cases = try GoldenText.cases(file)
        #expect(cases.count == 224)
        for item in cases {
            let clean = try #require(item.clean)
            #expect(cleanPrompt(item.text).isIdentical(to: clean), "\(item.testDescription)")
        }
    }

    @Test func everyTextIsFixedAsUpstreamDoes() throws {
        let cases = try GoldenText.cases("ftfy_only.json")
        #expect(cases.count == 81)
        for item in cases {
            let expected = try #require(item.ftfy)
            #expect(fixText(item.text).isIdentical(to: expected), "\(item.testDescription)")
        }
    }

    @Test(arguments: [
        ("&amp;amp;amp; &lt", "&amp;amp; <"), ("&notit; &notin;", "¬it; ∉"), ("&#x80;&#128;", "€€"),
        ("&#0;", "\u{FFFD}"),
        ("&#xD800;", "\u{FFFD}"), ("&#99999999999;", "\u{FFFD}"), ("&#1;&#xFFFE;a", "a"),
        ("& &; &# &#x; &x", "& &; &# &#x; &x"),
        ("&NotEqualTilde;", "≂\u{338}"), ("&CounterClockwiseContourIntegral;", "∳"), ("&#65", "A"), ("&ampx", "&x"),
    ])
    func referencesAreResolvedAsBrowsersDo(_ text: String, _ expected: String) {
        #expect(string(unescapeHTML(Array(text.unicodeScalars))).isIdentical(to: expected))
    }

    @Test(arguments: [
        ("&NTILDE;&SZLIG;&ntilde;&Ntilde;&nTILDE;", "ÑSSñÑ&nTILDE;"), ("&amp", "&amp"), ("a&#65;b&#x41;", "aAbA"),
        ("&hellip;", "…"),
    ])
    func onlyCompleteReferencesAreResolvedWhileFixing(_ text: String, _ expected: String) {
        #expect(string(unescapeCompleteHTML(Array(text.unicodeScalars))).isIdentical(to: expected))
    }

    @Test(arguments: [
        ("l’humanitÃ©", "l'humanité"), ("Ã perturber la rÃ©flexion", "à perturber la réflexion"),
        ("âœ” No problems", "✔ No problems"), ("ã\u{83}\u{84}", "ツ"), ("РџСЂРёРІРµС‚", "Привет"),
        ("â€œlike thisâ€�", "\"like this�"), ("Ã la mode", "à la mode"), ("voilÃ le travail", "voilà le travail"),
        ("è, à, ü — already fine", "è, à, ü — already fine"), ("Ångström café naïve", "Ångström café naïve"),
        ("&macr;\\_(ã\u{83}\u{84})_/&macr;", "¯\\_(ツ)_/¯"), ("\u{1B}[36;44mblue\u{1B}[0m", "blue"),
    ])
    func mojibakeIsRepairedAndTextIsLeftAlone(_ text: String, _ expected: String) {
        #expect(fixText(text).isIdentical(to: expected), "\(fixText(text))")
    }

    @Test func compositionIsUnicodes() {
        // Conjoining jamo compose only where both are modern.
        #expect(fixText("\u{1112}\u{1161}\u{11AB}").isIdentical(to: "한"))
        #expect(fixText("\u{AC00}\u{11A8}").isIdentical(to: "\u{AC01}"))
        #expect(fixText("\u{AC00}\u{11A7}").isIdentical(to: "\u{AC00}\u{11A7}"))
        #expect(fixText("e\u{302}\u{323}").isIdentical(to: "\u{1EC7}"))
        #expect(fixText("\u{958}\u{212B}").isIdentical(to: "\u{915}\u{93C}Å"))
    }

    @Test func aMegabyteIsCleanedInGoodTime() {
        let megabyte = String(repeating: "cafÃ© &amp; Ｗｉｄｔｈ â€œquotedâ€\u{9D} \u{1F600}\n", count: 1 << 15)
        let clean = cleanPrompt(megabyte)
        #expect(clean.hasPrefix("café & Width \"quoted\" \u{1F600} café"))
        #expect(clean.unicodeScalars.count <= promptScalarLimit)
        for text in [
            String(repeating: "Ã", count: 1 << 20), String(repeating: "&", count: 1 << 20),
            String(repeating: "e\u{301}", count: 1 << 19),
        ] {
            #expect(cleanPrompt(text).unicodeScalars.count <= promptScalarLimit)
        }
    }
}
