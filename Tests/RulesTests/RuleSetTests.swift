import Testing

@testable import Rules

@Suite("Rules of folders")
struct RuleSetTests {
    private func set(_ files: [String: String], models: ModelCatalogue = Fixture.all) -> RuleSet {
        RuleSet(files: files.map { RuleFile(path: $0.key, bytes: Array($0.value.utf8)) }, models: models)
    }

    private func sound(_ rule: FolderRule) -> SettingLayer? {
        if case .sound(let layer) = rule { layer } else { nil }
    }

    private func messages(_ rule: FolderRule) -> [String] {
        if case .broken(let problems) = rule { problems.all.map(\.description) } else { [] }
    }

    @Test("default < a < a/b, each value with its file and line")
    func inheritance() throws {
        let rules = set([
            "default.toml": "steps = 1\nfps = 10\n\ncrf = 20", "a.toml": "steps = 2\nfps = 12",
            "a/b.toml": "\nsteps = 3",
        ])
        let layer = try #require(sound(rules.rule(forFolder: "a/b")))
        #expect(layer[.steps] == SourcedValue(.integer(3), source: "rules/a/b.toml", line: 2))
        #expect(layer[.fps]?.origin.description == "rules/a.toml line 2")
        #expect(layer[.crf]?.origin.description == "rules/default.toml line 4")
        #expect(sound(rules.rule(forFolder: "a"))?[.steps]?.value == .integer(2))
        #expect(sound(rules.rule(forFolder: ""))?[.steps]?.value == .integer(1))
        #expect(sound(rules.rule(forFolder: "a/b/c"))?[.steps]?.value == .integer(3))
        #expect(sound(rules.rule(forFolder: "ab"))?[.steps]?.value == .integer(1))
        #expect(rules.problems.isEmpty)
    }

    @Test("folders and files meet whatever their case and normal form")
    func names() {
        let rules = set(["Portr\u{E4}ts.TOML": "steps = 2", "x/Night.toml.txt": "steps = 3"])
        #expect(sound(rules.rule(forFolder: "portra\u{308}ts"))?[.steps]?.value == .integer(2))
        #expect(sound(rules.rule(forFolder: "X/NIGHT"))?[.steps]?.value == .integer(3))
    }

    @Test(
        "files that are no rules",
        arguments: ["a.txt", "a.ERROR.txt", ".a.toml", "_x/a.toml", "~$a.toml", "a.toml.bak", ".toml"])
    func noRules(_ path: String) {
        #expect(RuleSet.folderKey(path) == nil)
    }

    @Test(
        "names of ERROR texts",
        arguments: [("a.toml", "a.ERROR.txt"), ("b/a.toml.txt", "b/a.ERROR.txt"), ("A.TOML", "A.ERROR.txt")])
    func errorNames(_ path: String, _ expected: String) {
        #expect(RuleSet.errorTextPath(path) == expected)
        #expect(RuleSet.folderKey(expected) == nil)
    }

    @Test("a broken file breaks its folder and those below, and no other")
    func broken() {
        let rules = set(["default.toml": "steps = 2", "a.toml": "stebs = 2", "a/b.toml": "steps = 3", "c.toml": ""])
        let expected = ["rules/a.toml, line 1: stebs: unknown setting; did you mean steps?"]
        #expect(messages(rules.rule(forFolder: "a")) == expected)
        #expect(messages(rules.rule(forFolder: "a/b")) == expected)
        #expect(sound(rules.rule(forFolder: "c")) != nil)
        #expect(sound(rules.rule(forFolder: "")) != nil)
        #expect(Array(rules.problems.keys) == ["a.toml"])
    }

    @Test("a broken default.toml breaks every folder")
    func brokenDefault() {
        let rules = set(["default.toml": "steps = 7"])
        #expect(
            messages(rules.rule(forFolder: "any")) == [
                "rules/default.toml, line 1: steps: 7 is not legal; legal: 1 to 4"
            ])
    }

    @Test("two files for one folder are refused")
    func ambiguous() {
        let rules = set(["a.toml": "steps = 2", "a.toml.txt": "steps = 3"])
        #expect(messages(rules.rule(forFolder: "a")) == ["rules/a.toml.txt: rules/a.toml means the same folder"])
        #expect(Array(rules.problems.keys) == ["a.toml.txt"])
    }

    @Test("values are checked against the model")
    func models() {
        let rules = set([
            "default.toml": "resolution = 480p", "long.toml": "model = wan2.1-1.3b\nframes = 165",
            "mini.toml": "model = Mini", "name.toml": "model = Minni",
            "wide.toml": "model = Mini\nresolution = 256x150",
        ])
        #expect(
            messages(rules.rule(forFolder: "long")) == [
                "rules/long.toml, line 2: frames: 165 is not legal for Wan2.1-1.3B"
            ])
        #expect(
            messages(rules.rule(forFolder: "mini"))
                == ["rules/mini.toml: resolution: Mini has no 480p (from rules/default.toml line 1)"])
        #expect(
            messages(rules.rule(forFolder: "name")) == [
                "rules/name.toml, line 1: model: Minni is not installed; did you mean Mini?"
            ])
        #expect(
            messages(rules.rule(forFolder: "wide"))
                == ["rules/wide.toml, line 2: resolution: 256x150: both sides must be multiples of 16"])
        #expect(sound(rules.rule(forFolder: "")) != nil)
    }

    @Test("a rule for one kind of job alone is sound")
    func oneMode() {
        let rules = set(["a.toml": "model = Wan2.2-A14B"])
        #expect(sound(rules.rule(forFolder: "a")) != nil)
    }

    @Test("without models only what needs none is checked")
    func noModels() {
        let rules = set(["a.toml": "model = anything\nframes = 401"], models: ModelCatalogue(models: []))
        #expect(sound(rules.rule(forFolder: "a")) != nil)
    }
}
