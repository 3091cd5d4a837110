import Foundation
import Testing

@testable import Rules

@Suite("Effective settings")
struct JobSettingsTests {
    @Test("upstream's defaults, text to video")
    func textDefaults() throws {
        let job = try Fixture.jobs("", prompts: "a cat", models: Fixture.models)[0]
        #expect(job.model == Setting("Wan2.1-1.3B", .standard))
        #expect(job.size == PixelSize(width: 832, height: 480))
        #expect(job.steps.value == 4)
        #expect(job.seed == Setting(.fixed(0), .standard))
        #expect(job.frames == Setting(81, .model("Wan2.1-1.3B")))
        #expect(job.fps.value == 16)
        #expect(job.sampler.value == .sde)
        #expect(job.sigmaMax.value == 80)
        #expect(job.boundary.value == 0.9)
        #expect(job.attention.value == .sagesla)
        #expect(job.slaTopK.value == 0.1)
        #expect(job.after.value == .move)
        #expect(job.prompt == Setting("a cat", Origin("cat.prompt line 1")))
    }

    @Test("upstream's defaults, image to video")
    func imageDefaults() throws {
        let job = try Fixture.jobs("", prompts: "a cat", mode: .imageToVideo, models: Fixture.models)[0]
        #expect(job.model.value == "Wan2.2-A14B")
        #expect(job.size == PixelSize(width: 1280, height: 720))
        #expect(job.sampler == Setting(.ode, .model("Wan2.2-A14B")))
        #expect(job.sigmaMax.value == 200)
        #expect(job.adaptiveResolution.value)
    }

    @Test("a model's share of keys for films shorter than its own or of another shape, unless somebody asked for one")
    func otherFilms() throws {
        var model = Fixture.small
        model.defaults[.textToVideo] = .init(slaTopK: 0.1, slaTopKOfOtherFilms: 0.5)
        let models = ModelCatalogue(models: [model])
        func share(_ rule: String, _ mode: GenerationMode = .textToVideo) throws -> Setting<Double> {
            try Fixture.jobs(rule, prompts: "x", mode: mode, models: models)[0].slaTopK
        }
        #expect(try share("frames = 77") == Setting(0.5, .model("Mini")))
        #expect(try share("frames = 81") == Setting(0.1, .model("Mini")))
        #expect(try share("") == Setting(0.1, .model("Mini")))
        #expect(try share("aspect_ratio = 1:1").value == 0.5)
        #expect(try share("aspect_ratio = 16:9").value == 0.1)
        #expect(try share("resolution = 144x256").value == 0.5)
        #expect(try share("frames = 33\nsla_topk = 0.2").value == 0.2)
        #expect(try share("frames = 33", .imageToVideo).value == model.defaultSlaTopK)
    }

    @Test("an image keeps its shape unless somebody asked for one")
    func adaptive() throws {
        func adaptive(_ rule: String) throws -> Bool {
            try Fixture.jobs(rule, prompts: "x", mode: .imageToVideo)[0].adaptiveResolution.value
        }
        #expect(try adaptive("resolution = 480p"))
        #expect(try !adaptive("aspect_ratio = 9:16"))
        #expect(try !adaptive("resolution = 640x368"))
        #expect(try adaptive("aspect_ratio = 9:16\nadaptive_resolution = yes"))
        #expect(try !adaptive("adaptive_resolution = no"))
    }

    @Test("a family's name means the member that suits the job")
    func family() throws {
        #expect(try Fixture.jobs("model = wan", prompts: "x")[0].model.value == "Wan2.1-1.3B")
        #expect(try Fixture.jobs("model = WAN", prompts: "x", mode: .imageToVideo)[0].model.value == "Wan2.2-A14B")
    }

    @Test(
        "what a model cannot do",
        arguments: [
            ("model = Wan2.2-A14B", "line 1: model: Wan2.2-A14B does not make text to video"),
            ("model = Wan2.1-13B", "line 1: model: Wan2.1-13B is not installed; did you mean Wan2.1-1.3B?"),
            ("resolution = 490p", "line 1: resolution: Wan2.1-1.3B has no 490p; did you mean 480p?"),
            ("aspect_ratio = 2:1", "line 1: aspect_ratio: 2:1 is not legal at 480p"),
            ("resolution = 640x360", "line 1: resolution: 640x360: both sides must be multiples of 16"),
            ("resolution = 1920x1088", "line 1: resolution: 1920x1088 is too large for Wan2.1-1.3B"),
            ("resolution = 32x32", "line 1: resolution: 32x32 is not legal for Wan2.1-1.3B"),
            ("frames = 29", "line 1: frames: 29 is not legal for Wan2.1-1.3B"),
            ("model = Mini\nattention = sagesla", "line 2: attention: Mini has no sagesla"),
        ])
    func unsuited(_ rule: String, _ expected: String) {
        let error = #expect(throws: RuleProblems.self) { _ = try Fixture.jobs(rule, prompts: "x") }
        #expect(error?.all.map(\.located) == [expected])
    }

    @Test("the nearest legal sizes are named")
    func nearest() {
        let error = #expect(throws: RuleProblems.self) { _ = try Fixture.jobs("resolution = 640x360", prompts: "x") }
        #expect(error?.first.hint == "The nearest sizes are 640x352 and 640x368.")
    }

    @Test("several things a model cannot do are all told")
    func several() {
        let error = #expect(throws: RuleProblems.self) {
            _ = try Fixture.jobs("model = Mini\nframes = 85\nresolution = 480p", prompts: "x")
        }
        #expect(error?.all.map(\.line) == [2, 3])
    }

    @Test("prefix and suffix go round the prompt")
    func usedPrompt() throws {
        let job = try Fixture.jobs(
            "prompt_prefix = \"cinematic, \"\nprompt_suffix = soft light", prompts: "a  cat\nsleeps")[0]
        #expect(job.usedPrompt == "cinematic, a cat sleeps soft light")
        #expect(job.prompt.value == "a  cat\nsleeps")
    }

    @Test("a drawn seed replaces random only")
    func seeds() throws {
        var random = try Fixture.jobs("seed = random", prompts: "x")[0]
        #expect(random.fixedSeed == nil)
        random.fixSeed(7)
        #expect(random.fixedSeed == 7)
        #expect(random.seed.origin == Origin("rules/a.toml line 1"))
        random.fixSeed(8)
        #expect(random.fixedSeed == 7)
    }

    @Test("settings survive JSON")
    func codable() throws {
        for rule in ["", "seed = random", "seed = 9223372036854775807\nboundary = 0.875"] {
            let job = try Fixture.jobs(rule, prompts: "a \"cat\"")[0]
            let data = try JSONEncoder().encode(job)
            #expect(try JSONDecoder().decode(JobSettings.self, from: data) == job)
        }
    }

    @Test("the explanation names every setting, its value and origin")
    func explanation() throws {
        let job = try Fixture.jobs("steps = 2\nsla_topk = 0.15", prompts: "say \"hi\"")[0]
        #expect(job.lines.map(\.name) == SettingName.allCases.map(\.rawValue))
        #expect(job.lines[4] == JobSettings.Line(name: "steps", value: "2", origin: "rules/a.toml line 1"))
        let text = job.explanation
        #expect(text.hasPrefix("text to video, 832x480\n"))
        #expect(text.contains("sla_topk            = 0.15"))
        #expect(text.contains("prompt              = \"say \\\"hi\\\"\""))
        let object = try JSONSerialization.jsonObject(with: Data(try job.explanationJSON().utf8)) as? [String: Any]
        let steps = object?["steps"] as? [String: Any]
        #expect(steps?["value"] as? Int == 2)
        #expect(steps?["origin"] as? String == "rules/a.toml line 1")
        #expect(object?["used_prompt"] as? String == "say \"hi\"")
    }

    @Test("what the explanation writes can be read back")
    func readBack() throws {
        let job = try Fixture.jobs("prompt_suffix = \"a\\tb\\\\\"\nboundary = 0.875", prompts: "x \"y\"\nz")[0]
        let text = job.lines.map { "\($0.name) = \($0.value)" }.joined(separator: "\n")
        var again = try JobExpansion.jobs(
            folder: try Fixture.layer(text), promptFile: nil, mode: job.mode, models: Fixture.all)[0]
        #expect(again.lines.map(\.value) == job.lines.map(\.value))
        again.mode = job.mode
        #expect(again.size == job.size)
    }

    @Test("the table is complete, its examples are legal, and the example file holds them")
    func table() throws {
        #expect(SettingDefinition.all.map(\.name) == SettingName.allCases)
        for definition in SettingDefinition.all {
            #expect(try Fixture.layer(definition.example)[definition.name] != nil)
            #expect(SettingDefinition.commentedFile.contains("# \(definition.example)\n"))
        }
        #expect(try Fixture.layer(SettingDefinition.commentedFile).values.isEmpty)
        let rows =
            try JSONSerialization.jsonObject(with: Data(try SettingDefinition.allJSON().utf8)) as? [[String: String]]
        #expect(rows?.count == SettingName.allCases.count)
    }

    @Test("the first frame of an image is kept exactly where the rule or the model says so")
    func exactFirstFrame() throws {
        func value(_ rule: String) throws -> Setting<Bool> { try Fixture.jobs(rule, prompts: "x")[0].exactFirstFrame }
        #expect(try value("") == Setting(false, .standard))
        #expect(try value("exact_first_frame = yes").value)
        #expect(try !value("exact_first_frame = no").value)
        #expect(Fixture.messages("exact_first_frame = 1.5").first?.contains("legal: yes or no") == true)
        #expect(Fixture.messages("exact_first_fram = yes").first?.contains("did you mean exact_first_frame?") == true)
    }

    @Test("a job of an earlier version has neither the newer settings nor a fault")
    func earlierJobs() throws {
        let job = try Fixture.jobs("contact_sheet = no\nexact_first_frame = yes", prompts: "x")[0]
        var fields = try #require(
            JSONSerialization.jsonObject(with: JSONEncoder().encode(job)) as? [String: Any])
        #expect(try JSONDecoder().decode(JobSettings.self, from: JSONEncoder().encode(job)) == job)
        for key in ["contact_sheet", "visible_label", "exact_first_frame"] { fields[key] = nil }
        let old = try JSONDecoder().decode(JobSettings.self, from: JSONSerialization.data(withJSONObject: fields))
        #expect(old.contactSheet.value && old.visibleLabel.value.isEmpty && !old.exactFirstFrame.value)
        fields["quant_linear"] = nil
        let broken = try JSONSerialization.data(withJSONObject: fields)
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(JobSettings.self, from: broken) }
    }

    @Test("a visible label is words, yes or no; a contact sheet is yes or no")
    func labels() throws {
        func label(_ rule: String) throws -> String { try Fixture.jobs(rule, prompts: "x")[0].visibleLabel.value }
        #expect(try label("") == "")
        #expect(try label("visible_label = yes") == "AI-generated")
        #expect(try label("visible_label = no") == "")
        #expect(try label("visible_label = Made by a model, 2026") == "Made by a model, 2026")
        #expect(try label("visible_label = \"no\"") == "no")
        #expect(try Fixture.jobs("contact_sheet = off", prompts: "x")[0].contactSheet.value == false)
        #expect(try Fixture.jobs("", prompts: "x")[0].contactSheet.value)
        #expect(Fixture.messages("visible_label = KI-erzeugt \u{E4}").first?.contains("visible_label") == true)
        let long = String(repeating: "a", count: 41)
        #expect(Fixture.messages("visible_label = \(long)").first?.contains("is not legal") == true)
        #expect(
            Fixture.messages("contact_sheat = no").first
                == "line 1: contact_sheat: unknown setting; did you mean contact_sheet?")
        #expect(Fixture.messages("visible_lable = yes").first?.contains("did you mean visible_label?") == true)
    }

    @Test("settings of jobs of an earlier version are read, with what held then")
    func earlierVersion() throws {
        let job = try Fixture.jobs("steps = 3", prompts: "x")[0]
        var object = try #require(
            JSONSerialization.jsonObject(with: JSONEncoder().encode(job)) as? [String: Any])
        object["contact_sheet"] = nil
        object["visible_label"] = nil
        let old = try JSONDecoder().decode(JobSettings.self, from: JSONSerialization.data(withJSONObject: object))
        #expect(old == job)
        object["crf"] = nil
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(JobSettings.self, from: JSONSerialization.data(withJSONObject: object))
        }
    }
}
