import Testing

@testable import Rules

@Suite("What is wrong, word for word")
struct ReaderErrorsTests {
    @Test(
        "messages",
        arguments: [
            ("\n\naspekt_ratio = 16:9", "line 3: aspekt_ratio: unknown setting; did you mean aspect_ratio?"),
            ("sampelr = ode", "line 1: sampelr: unknown setting; did you mean sampler?"),
            ("banana = 1", "line 1: banana: unknown setting"),
            ("steps = 9", "line 1: steps: 9 is not legal; legal: 1 to 4"),
            ("steps = 0", "line 1: steps: 0 is not legal; legal: 1 to 4"),
            ("steps = 4.0", "line 1: steps: 4.0 is not legal; legal: 1 to 4"),
            ("steps = four", "line 1: steps: four is not legal; legal: 1 to 4"),
            ("steps = \u{664}", "line 1: steps: \u{664} is not legal; legal: 1 to 4"),
            ("steps = 99999999999999999999", "line 1: steps: 99999999999999999999 is not legal; legal: 1 to 4"),
            ("steps = 2\nsteps = 3", "line 2: steps: already set in line 1"),
            ("steps = 2\nSteps: 2", "line 2: steps: already set in line 1"),
            ("steps =", "line 1: steps: no value"),
            ("steps = # two", "line 1: steps: no value"),
            ("steps 2", "line 1: steps 2: not of the form name = value"),
            ("= 2", "line 1: a value without a name"),
            ("[video]", "line 1: [video]: sections have no meaning here"),
            ("boundary = 0,9", "line 1: boundary: 0,9 is a list"),
            ("boundary = \"0,9\"", "line 1: boundary: 0,9 is not legal; legal: 0 to 1"),
            ("boundary = 1.1", "line 1: boundary: 1.1 is not legal; legal: 0 to 1"),
            ("boundary = nan", "line 1: boundary: nan is not legal; legal: 0 to 1"),
            ("sla_topk = 0", "line 1: sla_topk: 0 is not legal; legal: above 0, at most 1"),
            ("sigma_max = 14", "line 1: sigma_max: 14 is not legal; legal: 15 to 10000"),
            ("sampler = odd", "line 1: sampler: odd is not legal; did you mean ode?"),
            ("attention = flash", "line 1: attention: flash is not legal; legal: original, sla or sagesla"),
            ("after = mvoe", "line 1: after: mvoe is not legal; did you mean move?"),
            ("quant_linear = maybe", "line 1: quant_linear: maybe is not legal; legal: yes or no"),
            (
                "frames = 80",
                "line 1: frames: 80 is not legal; legal: 4n+1 (33, 37, ... 81 ...) within the model's range"
            ),
            (
                "aspect_ratio = wide",
                "line 1: aspect_ratio: wide is not legal; legal: 16:9, 9:16, 4:3, 3:4 or 1:1 (16x9 is understood)"
            ),
            (
                "seed = -1",
                "line 1: seed: -1 is not legal; legal: a whole number from 0, \"random\", or a list of numbers"
            ),
            ("seed = randon", "line 1: seed: randon is not legal; did you mean random?"),
            ("seed = [1, 1]", "line 1: seed: 1 stands twice in the list"),
            ("seed = []", "line 1: seed: the list is empty"),
            ("seed = [1, [2]]", "line 1: seed: a list within a list"),
            ("seed = [1,, 2]", "line 1: seed: a comma without a value before it"),
            ("seed = [\"1\" 2]", "line 1: seed: a comma is missing between two values"),
            ("seed = [1, 2", "line 1: seed: the list is not closed"),
            ("seed = [1, 2\nsteps = 2", "line 1: seed: the list is not closed"),
            ("prompt = \"a cat", "line 1: prompt: the quotation mark is not closed"),
            ("prompt = \"a\" b", "line 1: prompt: b follows the end of the value"),
            ("prompt = \"\"\"a\nb\nsteps = 2", "line 1: prompt: the text begun with \"\"\" is not closed"),
            ("prompt = \"\\q\"", "line 1: prompt: \\q is not an escape"),
            ("prompt = \"\\u0000\"", "line 1: prompt: \\u is not an escape"),
            ("prompt = \" \"", "line 1: prompt: the prompt is empty"),
            ("prompt = [\"a\"] b", "line 1: prompt: b follows the end of the value"),
            ("output_name = \"{seed}\"", "line 1: output_name: only {stem} may stand in braces"),
            ("crf = 0", "line 1: crf: 0 is not legal; legal: 1 to 51"),
            ("prompt = a\u{7}b", "line 1: a control character (U+0007) in column 11"),
        ])
    func message(_ text: String, _ expected: String) {
        #expect(Fixture.messages(text) == [expected])
    }

    @Test(
        "hints",
        arguments: [
            ("boundary = 0,9", "Write decimals with a point: 0.9."),
            ("boundary = \"0,9\"", "Write decimals with a point: 0.9."),
            ("frames = 80", "Frames come as 4n+1; the nearest are 77 and 81."),
            ("steps = 9", "The models are distilled for 1 to 4 steps; more gain nothing."),
            ("steps 2", "Put = between steps and its value."),
            ("seed = [1, random]", "random cannot stand in a list; write variations = 5 beside seed = random."),
        ])
    func hint(_ text: String, _ expected: String) {
        #expect(Fixture.problems(text).map(\.hint) == [expected])
    }

    @Test("every mistake of a file is reported, in order")
    func all() {
        let text = "steps = 9\n[x]\nfps = 16\nseed = [1\nfoo = 1\nsampler = odd\nboundary = 0,5\nprompt = \"x\n"
        #expect(Fixture.problems(text).map(\.line) == [1, 2, 4, 5, 6, 7, 8])
    }

    @Test("the column is that of the value or the name")
    func columns() {
        #expect(Fixture.problems("   steps = 9").first?.column == 12)
        #expect(Fixture.problems("   stebs = 9").first?.column == 4)
        #expect(Fixture.problems("seed = [1,\n   x]").map { [$0.line, $0.column] } == [[2, 4]])
    }

    @Test("encodings that are refused")
    func encodings() {
        #expect(
            Fixture.problems(bytes: Array("steps = 2\r\nprompt = caf".utf8) + [0xE9]).map(\.located) == [
                "line 2: the text is not UTF-8"
            ])
        #expect(Fixture.problems(bytes: [0xFF, 0xFE, 0x61]).map(\.code) == [.encoding])
        #expect(Fixture.problems(bytes: [0xFF, 0xFE, 0, 0xD8]).map(\.message) == ["the text is not valid UTF-16"])
        #expect(
            Fixture.problems(bytes: [0xFF, 0xFE, 0, 0, 0x61, 0, 0, 0]).map(\.message) == ["the file is UTF-32 text"])
        let noMark = Array(Fixture.utf16("steps = 2", bigEndian: false).dropFirst(2))
        #expect(
            Fixture.problems(bytes: noMark).map(\.message) == ["the file looks like UTF-16 without a byte order mark"])
        #expect(Fixture.problems(bytes: [0xC0, 0x80]).map(\.code) == [.encoding])
    }

    @Test("64 KiB is the limit, to the byte")
    func size() {
        let full = [UInt8](repeating: UInt8(ascii: "\n"), count: 65_536)
        #expect(Fixture.problems(bytes: full).isEmpty)
        #expect(Fixture.problems(bytes: full + [10]).map(\.message) == ["the file has 65537 bytes, more than 64 KiB"])
    }

    @Test("the text of an ERROR file: what happened, what to do, what else")
    func errorText() throws {
        let problems = try #require(RuleProblems(Fixture.problems("aspekt_ratio = 1:1\nsteps = 9")))
        #expect(
            problems.errorText == """
                rules/a.toml, line 1: aspekt_ratio: unknown setting; did you mean aspect_ratio?
                Write aspect_ratio, or delete the line.
                Also: rules/a.toml, line 2: steps: 9 is not legal; legal: 1 to 4

                """)
    }

    @Test("a swap of letters counts once, unrelated words not at all")
    func distance() {
        #expect(Suggestion.distance(Array("setps".unicodeScalars), Array("steps".unicodeScalars)) == 1)
        #expect(Suggestion.distance(Array("kitten".unicodeScalars), Array("sitting".unicodeScalars)) == 3)
        #expect(Suggestion.closest(to: "quantlinear", among: SettingName.allCases.map(\.rawValue)) == "quant_linear")
        #expect(Suggestion.closest(to: "zzz", among: SettingName.allCases.map(\.rawValue)) == nil)
    }
}
