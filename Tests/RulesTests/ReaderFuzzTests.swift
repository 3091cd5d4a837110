import TestSupport
import Testing

@testable import Rules

@Suite("Whatever the bytes are")
struct ReaderFuzzTests {
    static let seeds: [[UInt8]] = [
        Array("steps = 2\nseed = [1, 2,\n 3]\nprompt = \"a\\u00e9\" # c\naspect_ratio: 16x9\n".utf8),
        Array("prompt = \"\"\"\nx \\\n y\"\"\"\nsampler = \u{201C}ode\u{201D}\nboundary = 0,9\n".utf8),
        Array("---\nsteps = 1\n---\na cat\n# x\n[a]\nfoo = 'b'\n".utf8),
        Array("[intake]\npair_wait = 5 min\n[jobs]\nsnapshots = 4 GiB\n".utf8),
        Fixture.utf16("steps = 3\r\nprompt = \u{1F600}\r\n", bigEndian: false),
    ]
    static let tokens: [[UInt8]] =
        [
            "\"", "'", "\"\"\"", "'''", "[", "]", ",", "=", ":", "#", ";", "\\", "\\u", "\n", "\r", "\r\n", "---",
            "steps", "seed",
            "prompt", "\u{201C}", "\u{201D}", "\u{2019}", "\u{FEFF}", "\u{0}", "99999999999999999999", "-", "1e999",
            "640x", "x", "{stem}",
        ].map { Array($0.utf8) } + [[0xFF], [0xC3], [0xFF, 0xFE], [0xED, 0xA0, 0x80]]

    @Test("20,000 mutated files: a value or a report with a place inside the file, never a crash")
    func mutations() {
        var generator = SplitMix(20_261_121)
        var soundRules = 0
        var soundPrompts = 0
        var soundConfigurations = 0
        for round in 0..<20_000 {
            var bytes = Self.seeds[round % Self.seeds.count]
            for _ in 0..<Int.random(in: 1...6, using: &generator) { Self.mutate(&bytes, &generator) }
            let lineCount = 1 + bytes.count
            do {
                let layer = try Fixture.layer(bytes: bytes)
                soundRules += 1
                for value in layer.values.values where !(1...lineCount).contains(value.line) {
                    Issue.record("line \(value.line) of \(bytes)")
                }
            } catch {
                for problem in error.all {
                    if let line = problem.line, !(1...lineCount).contains(line) { Issue.record("line of \(bytes)") }
                    if problem.message.isEmpty || problem.hint.isEmpty { Issue.record("no words for \(bytes)") }
                    if problem.located.utf8.count > 1000 { Issue.record("too many words for \(bytes)") }
                }
                if error.errorText.split(separator: "\n").count != error.all.count + 1 {
                    Issue.record("lines of the ERROR text for \(bytes)")
                }
            }
            for isList in [true, false] {
                if let file = try? PromptFile.read(bytes, source: "x.prompt", isList: isList) {
                    soundPrompts += 1
                    if file.prompts.isEmpty { Issue.record("no prompt in \(bytes)") }
                }
            }
            if let configuration = try? ServiceConfiguration.read(bytes, source: "d.toml", directory: "/srv/etc") {
                soundConfigurations += 1
                if !configuration.folders.inbox.hasPrefix("/") { Issue.record("relative inbox from \(bytes)") }
            }
        }
        // Both ways were taken, in every reader.
        for count in [soundRules, soundPrompts, soundConfigurations] { #expect((50..<40_000).contains(count)) }
        #expect(soundRules < 10_000)
    }

    private static func mutate(_ bytes: inout [UInt8], _ generator: inout SplitMix) {
        let place = Int.random(in: 0...bytes.count, using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes.insert(contentsOf: tokens.randomElement(using: &generator)!, at: place)
        case 1 where place < bytes.count: bytes.remove(at: place)
        case 2 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &generator)
        case 3:
            let end = min(bytes.count, place + Int.random(in: 0...12, using: &generator))
            bytes.append(contentsOf: bytes[place..<end])
        default: bytes.insert(contentsOf: tokens.randomElement(using: &generator)!, at: place)
        }
    }
}
