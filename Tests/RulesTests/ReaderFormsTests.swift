import Testing

@testable import Rules

@Suite("Forms that editors leave behind")
struct ReaderFormsTests {
    static let rule = "steps = 2\naspect_ratio = 16:9\nprompt = \"caf\u{E9} at night\"\n"

    static let encodings: [(String, [UInt8])] = [
        ("plain", Array(rule.utf8)),
        ("BOM", [0xEF, 0xBB, 0xBF] + Array(rule.utf8)),
        ("CRLF", Array(rule.split(separator: "\n").joined(separator: "\r\n").utf8)),
        ("CR", Array(rule.split(separator: "\n").joined(separator: "\r").utf8)),
        ("UTF-16 LE", Fixture.utf16(rule, bigEndian: false)),
        ("UTF-16 BE", Fixture.utf16(rule, bigEndian: true)),
        ("BOM and CRLF", [0xEF, 0xBB, 0xBF] + Array(rule.split(separator: "\n").joined(separator: "\r\n").utf8)),
    ]

    @Test("every encoding reads the same", arguments: encodings.indices)
    func encoding(_ index: Int) throws {
        let layer = try Fixture.layer(bytes: Self.encodings[index].1)
        #expect(layer[.steps]?.value == .integer(2))
        #expect(layer[.aspectRatio]?.value == .text("16:9"))
        #expect(layer[.prompt]?.value == .text("caf\u{E9} at night"))
        #expect(layer[.prompt]?.line == 3)
    }

    @Test(
        "ways to write a pair",
        arguments: [
            "steps = 3", "steps=3", "steps: 3", "steps:3", "STEPS = 3", "Steps\t=\t3", "  steps = 3  ", "\"steps\" = 3",
            "steps = \"3\"", "steps = '3'", "steps = \u{201C}3\u{201D}", "steps = \u{201E}3\u{201C}",
            "steps = \u{AB}3\u{BB}",
            "steps = \u{2018}3\u{2019}", "steps = \"3\u{201D}", "steps = 3 # fast", "steps = 3; fast",
            "steps = 3 ; fast",
            "steps = \"3\" # \"quoted\"", "# steps = 4\nsteps = 3", "; note\nsteps = 3", "steps \u{FF1D} 3",
            "steps\u{FF1A}3", "steps\u{A0}=\u{A0}3", "\u{3000}steps = +3", "steps = \"\"\"3\"\"\"",
        ])
    func pair(_ text: String) throws {
        #expect(try Fixture.value(text, .steps) == .integer(3))
    }

    @Test("names in any dress", arguments: ["aspect_ratio", "Aspect-Ratio", "ASPECT RATIO", "aspect ratio"])
    func names(_ name: String) throws {
        #expect(try Fixture.value("\(name) = 9:16", .aspectRatio) == .text("9:16"))
    }

    @Test("aspect ratios", arguments: ["16:9", "16x9", "16X9", "16 x 9", "\"16:9\"", "16/9", "16\u{D7}9"])
    func aspectRatio(_ text: String) throws {
        #expect(try Fixture.value("aspect_ratio = \(text)", .aspectRatio) == .text("16:9"))
        #expect(try Fixture.value("aspect_ratio: \(text)", .aspectRatio) == .text("16:9"))
    }

    @Test(
        "resolutions",
        arguments: [
            ("480p", "480p"), ("\"480P\"", "480p"), ("480", "480p"), ("640x368", "640x368"), ("640 X 368", "640x368"),
            ("\"640\u{D7}368\"", "640x368"), ("0640x368", "640x368"),
        ])
    func resolution(_ text: String, _ expected: String) throws {
        #expect(try Fixture.value("resolution = \(text)", .resolution) == .text(expected))
    }

    @Test(
        "booleans",
        arguments: [
            ("yes", true), ("no", false), ("on", true), ("OFF", false), ("True", true), ("false", false), ("1", true),
            ("0", false), ("\"yes\"", true),
        ])
    func boolean(_ text: String, _ expected: Bool) throws {
        #expect(try Fixture.value("quant_linear = \(text)", .quantLinear) == .boolean(expected))
    }

    @Test(
        "texts",
        arguments: [
            ("prompt = a cat, a dog", "a cat, a dog"),
            ("prompt = a cat: asleep = happy", "a cat: asleep = happy"),
            ("prompt = car #1; red", "car #1; red"),
            ("prompt = a cat # a note", "a cat"),
            ("prompt = \"a # b ; c\"", "a # b ; c"),
            ("prompt = 'C:\\new'", "C:\\new"),
            ("prompt = \"tab\\tline\\nq\\\"u\\u00e9\\U0001F600\\\\\"", "tab\tline\nq\"u\u{E9}\u{1F600}\\"),
            ("prompt = \u{201C}He said \"hi\"\u{201D}", "He said \"hi\""),
            ("prompt = \"a sign \u{201C}open\u{201D} on it\"", "a sign \u{201C}open\u{201D} on it"),
            ("prompt = \"says \u{201C}open\u{201D}\" # \u{201D}", "says \u{201C}open\u{201D}"),
            ("prompt = \u{2018}the cat\u{2019}s hat\u{2019}", "the cat\u{2019}s hat"),
            ("prompt = \"a\" # \"b\"", "a"),
            ("prompt = \"\"\"\none\ntwo\"\"\"", "one\ntwo"),
            ("prompt = \"\"\"one \\\n   two\"\"\"", "one two"),
            ("prompt = '''\na 'b' \\c'''", "a 'b' \\c"),
            ("prompt = \"\"\"say \"hi\"\"\"\"", "say \"hi\""),
            ("prompt = \u{4E00}\u{53EA}\u{732B}", "\u{4E00}\u{53EA}\u{732B}"),
        ])
    func text(_ line: String, _ expected: String) throws {
        #expect(try Fixture.value(line, .prompt) == .text(expected))
    }

    @Test(
        "lists",
        arguments: [
            "seed = [1, 2, 3]", "seed = 1, 2, 3", "seed = 1,2,3,", "seed = [1,\n  2, # two\n\n  3,\n]",
            "seed = [\"1\", '2', 3]", "seed = \"1\", \"2\", 3",
        ])
    func list(_ text: String) throws {
        #expect(try Fixture.value(text, .seed) == .seeds([1, 2, 3]))
    }

    @Test("what follows a list over several lines keeps its line")
    func lineAfterList() throws {
        let layer = try Fixture.layer("prompt = [\n \"a, b\",\n \u{201C}c\u{201D}, d e\n]\n\nsteps = 2\n")
        #expect(layer[.prompt] == SourcedValue(.texts(["a, b", "c", "d e"]), source: "rules/a.toml", line: 1))
        #expect(layer[.steps]?.line == 6)
    }

    @Test("numbers", arguments: [("80", 80.0), ("80.5", 80.5), ("1e2", 100), ("1_000", 1000)])
    func number(_ text: String, _ expected: Double) throws {
        #expect(try Fixture.value("sigma_max = \(text)", .sigmaMax) == .number(expected))
    }

    @Test(
        "seeds",
        arguments: [("random", SeedChoice.random), ("RANDOM", .random), ("9223372036854775807", .fixed(.max >> 1))])
    func seed(_ text: String, _ expected: SeedChoice) throws {
        #expect(try Fixture.value("seed = \(text)", .seed) == .seed(expected))
    }

    @Test("an empty file sets nothing", arguments: ["", "\n\n", "# only a comment", "\u{FEFF}"])
    func empty(_ text: String) throws {
        #expect(try Fixture.layer(text).values.isEmpty)
    }
}
