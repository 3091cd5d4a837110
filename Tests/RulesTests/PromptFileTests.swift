import Testing

@testable import Rules

@Suite("Prompt files and the jobs they make")
struct PromptFileTests {
    private func read(_ text: String, isList: Bool = false) throws -> PromptFile {
        try PromptFile.read(Array(text.utf8), source: "cat.prompt", isList: isList)
    }

    private func problem(_ text: String, isList: Bool = false) -> String? {
        do {
            _ = try read(text, isList: isList)
            return nil
        } catch {
            return (error as? RuleProblems)?.first.located
        }
    }

    @Test("the whole text is the prompt")
    func whole() throws {
        let file = try read("\n\n  A cat, # not a comment\n\n  asleep = happy. \n\n")
        #expect(file.prompts == [.init(text: "A cat, # not a comment\n\nasleep = happy.", line: 3)])
        #expect(file.head.values.isEmpty)
    }

    @Test(
        "a head of settings",
        arguments: [
            "steps = 2\nseed: 7\n---\na cat", "---\nsteps = 2\nseed = 7\n---\na cat",
            "\u{FEFF}steps = 2\r\nseed = 7\r\n---\r\na cat\r\n",
            "steps = 2\nseed = 7\n-----\n\na cat", "steps = 2\nseed = 7\n\u{2014}\na cat",
            "# note\n\nsteps = 2\nseed = 7\n --- \na cat",
        ])
    func head(_ text: String) throws {
        let file = try read(text)
        #expect(file.head[.steps]?.value == .integer(2))
        #expect(file.head[.seed]?.value == .seed(.fixed(7)))
        #expect(file.prompts.map(\.text) == ["a cat"])
    }

    @Test("lines of the head are counted in the file")
    func lines() throws {
        #expect(try read("---\n\nsteps = 2\n---\na cat").head[.steps]?.origin.description == "cat.prompt line 3")
        #expect(try read("steps = 2\n---\n\na cat").prompts[0].line == 4)
    }

    @Test(
        "what is wrong",
        arguments: [
            ("", "the prompt is empty"), (" \n\t\n", "the prompt is empty"),
            ("steps = 2\n---\n", "the prompt is empty"),
            ("steps = 2\na cat", "line 1: steps: a setting, but no line --- closes the settings"),
            ("seed: 7\na cat", "line 1: seed: a setting, but no line --- closes the settings"),
            ("stebs = 2\n---\na cat", "line 1: stebs: unknown setting; did you mean steps?"),
            ("A cat.\n---\nA dog.", "line 1: A cat.: not of the form name = value"),
            ("prompt = a dog\n---\na cat", "line 3: a prompt below the settings and another in line 1"),
        ])
    func wrong(_ text: String, _ expected: String) {
        #expect(problem(text) == expected)
    }

    @Test(
        "prose that only looks like a setting stays prose",
        arguments: ["Model: a woman in red", "Prompt: a cat", "seed: a sunflower", "Steps = leading up"])
    func prose(_ text: String) throws {
        #expect(try read(text).prompts.map(\.text) == [text])
    }

    @Test("the prompt may stand in the head")
    func promptInHead() throws {
        let file = try read("prompt = [a cat, a dog]\nsteps = 2\n---\n")
        #expect(file.prompts.map(\.text) == ["a cat", "a dog"])
        #expect(file.head[.prompt] == nil)
    }

    @Test("one prompt a line")
    func list() throws {
        let file = try read("steps = 2\n---\n# three\na cat\n\n  a dog  \n#x\na cow", isList: true)
        #expect(
            file.prompts == [
                .init(text: "a cat", line: 4), .init(text: "a dog", line: 6), .init(text: "a cow", line: 8),
            ])
        #expect(problem("# nothing\n\n", isList: true) == "there is no prompt in the file")
        let many = String(repeating: "x\n", count: 1001)
        #expect(problem(many, isList: true) == "1001 prompts in one file, more than 1000")
    }

    @Test("a megabyte is refused")
    func size() {
        #expect(problem(String(repeating: "x", count: 1_000_000)) == "the file has 1000000 bytes, more than 64 KiB")
    }

    @Test("a job for each prompt, seed or variation")
    func expansion() throws {
        #expect(try Fixture.jobs("", prompts: "a\nb\nc", isList: true).map(\.prompt.value) == ["a", "b", "c"])
        #expect(try Fixture.jobs("seed = 5", prompts: "a\nb", isList: true).map(\.fixedSeed) == [5, 5])
        #expect(try Fixture.jobs("seed = [1, 2, 9]", prompts: "a").map(\.fixedSeed) == [1, 2, 9])
        #expect(try Fixture.jobs("seed = 5\nvariations = 3", prompts: "a").map(\.fixedSeed) == [5, 6, 7])
        #expect(
            try Fixture.jobs("seed = random\nvariations = 3", prompts: "a").map(\.seed.value) == [
                .random, .random, .random,
            ])
        #expect(try Fixture.jobs("prompt = [a, b]", mode: .imageToVideo).map(\.prompt.value) == ["a", "b"])
        #expect(try Fixture.jobs("variations = 2\nseed = [3, 4]", prompts: "a").count == 2)
    }

    @Test("prompts and seeds of the same number pair up")
    func pairs() throws {
        let jobs = try Fixture.jobs("seed = [1, 2]", prompts: "a\nb", isList: true)
        #expect(jobs.map(\.prompt.value) == ["a", "b"])
        #expect(jobs.map(\.fixedSeed) == [1, 2])
    }

    @Test(
        "never a product",
        arguments: [
            ("seed = [1, 2, 3]", "2 prompts and 3 seeds do not pair up"),
            ("variations = 5", "2 prompts and variations = 5 would make a film for each combination"),
            ("seed = [1, 2]\nvariations = 5", "2 seeds and variations = 5 do not go together"),
        ])
    func product(_ rule: String, _ expected: String) {
        let error = #expect(throws: RuleProblems.self) { _ = try Fixture.jobs(rule, prompts: "a\nb", isList: true) }
        #expect(error?.all.map(\.message) == [expected])
    }

    @Test("the head wins over the folder, the file's prompt over the rule's")
    func order() throws {
        let job = try Fixture.jobs("steps = 4\nprompt = [x, y]\nseed = 1", prompts: "steps = 2\n---\na cat")[0]
        #expect(job.steps == Setting(2, Origin("cat.prompt line 1")))
        #expect(job.seed.value == .fixed(1))
        #expect(job.prompt.value == "a cat")
    }

    @Test("an image without any prompt is told so")
    func missing() {
        let error = #expect(throws: RuleProblems.self) { _ = try Fixture.jobs("", mode: .imageToVideo) }
        #expect(error?.first.code == .missing)
    }

    @Test("an earlier film runs once more with its own prompt and seed")
    func film() throws {
        let file = PromptFile(film: "cat_t2v_42.mp4", prompt: "a cat", seed: 42)
        let folder = try Fixture.layer("seed = random\nvariations = 5\nsteps = 2\nprompt = other")
        let jobs = try JobExpansion.jobs(folder: folder, promptFile: file, mode: .textToVideo, models: Fixture.all)
        #expect(jobs.map(\.fixedSeed) == [42])
        #expect(jobs.map(\.prompt.value) == ["a cat"])
        #expect(jobs.map(\.steps.value) == [2])
    }
}
