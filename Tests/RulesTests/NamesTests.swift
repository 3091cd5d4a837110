import Testing

@testable import Rules

@Suite("Names of files")
struct NamesTests {
    @Test(
        "kinds",
        arguments: [
            ("cat.jpg", DropName.Kind.image, "cat"), ("Cat.JPEG", .image, "Cat"), ("a.b.png", .image, "a.b"),
            ("cat.prompt", .prompt, "cat"), ("cat.Prompt.TXT", .prompt, "cat"), ("cat.prompts", .promptList, "cat"),
            ("cat.prompts.txt", .promptList, "cat"), ("f.mp4", .film, "f"), ("f.json", .filmLog, "f"),
            ("\u{130}.jpg", .image, "\u{130}"),
        ])
    func kinds(_ name: String, _ kind: DropName.Kind, _ stem: String) {
        #expect(DropName(name).kind == kind)
        #expect(DropName(name).stem == stem)
    }

    @Test(
        "names that never start a job",
        arguments: [
            "~gvf1A2B.tmp", "x.png.part", "x.part", "._x.png", ".DS_Store", "Thumbs.db", "desktop.ini", "~$x.prompt",
            "_x.png",
            ".x.png", "x.png~", "x.crdownload", "x.tmp", "x.png.filepart", "cat.ERROR.txt", "STATUS.txt", "README.txt",
            "",
            "x.partial", "DESKTOP.INI",
        ])
    func ignored(_ name: String) {
        #expect(DropName(name).kind == .ignored)
    }

    @Test("names that are told why", arguments: ["x.webp", "x.HEIC", "notes.txt", "x", "x.docx", ".jpg.", "x.gif"])
    func unsupported(_ name: String) {
        guard name != ".jpg." else { return #expect(DropName(name).kind == .ignored) }
        guard case .unsupported(let reason) = DropName(name).kind else {
            Issue.record("\(name) is \(DropName(name).kind)")
            return
        }
        #expect(!reason.isEmpty)
    }

    @Test(
        "folders with inputs",
        arguments: [
            ("a", true), ("_done", false), ("_failed", false), (".recycle", false), ("$RECYCLE.BIN", false),
            ("Jan_2", true),
        ])
    func folders(_ name: String, _ expected: Bool) {
        #expect(DropName.isInputFolder(name) == expected)
    }

    @Test("pairs ignore case and normal form")
    func keys() {
        #expect(DropName("CAF\u{C9}.jpg").stemKey == DropName("cafe\u{301}.prompt").stemKey)
        #expect(
            DropName("\u{39F}\u{394}\u{39F}\u{3A3}.jpg").stemKey
                == DropName("\u{3BF}\u{3B4}\u{3BF}\u{3C2}.prompt").stemKey)
        #expect(DropName("Ma\u{DF}e.jpg").stemKey != DropName("Masse.jpg").stemKey)
        #expect(DropName("cat.jpg").stemKey != DropName("cat .jpg").stemKey)
    }

    @Test(
        "output names that every client can show",
        arguments: [
            ("cat", "cat"), ("a:b?c*d\"e<f>g|h\\i/j", "a_b_c_d_e_f_g_h_i_j"), ("cafe\u{301}", "caf\u{E9}"),
            ("name. . ", "name"),
            ("  x", "x"), ("CON", "_CON"), ("aux.old", "_aux.old"), ("com1", "_com1"), ("COM\u{B2}", "_COM\u{B2}"),
            ("console", "console"),
            ("nul .x", "_nul .x"), ("...", "_"), ("", "_"), ("a\u{7}\u{202E}b", "a__b"), (".hidden", "_hidden"),
            ("\u{1F600}", "\u{1F600}"),
            ("~x", "_x"), ("a\u{0}b", "a_b"),
        ])
    func sanitise(_ name: String, _ expected: String) {
        #expect(Array(OutputName.sanitise(name).utf8) == Array(expected.utf8))
    }

    @Test("at most 255 bytes, cut between characters")
    func length() {
        let long = String(repeating: "\u{1F469}\u{200D}\u{1F467}", count: 60)
        let name = OutputName.sanitise(long)
        #expect(name.utf8.count <= 255)
        #expect(name.utf8.count == 255 / 11 * 11)
        let output = OutputName(stem: long, mode: .imageToVideo, seed: .max, model: "Wan2.2-A14B", secondsSince1970: 0)
        #expect(output.fileName("ERROR.txt", attempt: 999_999).utf8.count <= 255)
        #expect(
            OutputName(stem: "CON", mode: .textToVideo, seed: 1, model: "M", secondsSince1970: 0).base
                == "_CON_t2v_1_M_19700101_000000")
    }

    @Test("the tail is upstream's")
    func tail() {
        let name = OutputName(
            stem: "cat", mode: .textToVideo, seed: 42, model: "Wan2.1-1.3B", secondsSince1970: 1_766_590_200)
        #expect(name.tail == "t2v_42_Wan2_1_1_3B_20251224_153000")
        #expect(name.fileName("mp4") == "cat_t2v_42_Wan2_1_1_3B_20251224_153000.mp4")
        #expect(name.fileName("json", attempt: 2) == "cat_t2v_42_Wan2_1_1_3B_20251224_153000_2.json")
        #expect(OutputName.stamp(1_766_590_200 + 9 * 3600) == "20251225_003000")
    }

    @Test("the stem of a film's name, and no other name's")
    func filmStem() {
        for (base, stem) in [
            ("cat_t2v_42_Wan2_1_1_3B_20251224_153000", "cat"), ("cat_t2v_42_Wan2_1_1_3B_20251224_153000_2", "cat"),
            ("a_b_i2v_18446744073709551615_M_20251224_153000", "a_b"),
            ("t2v_1_cat_t2v_2_M_20251224_153000", "t2v_1_cat"),
            ("cat_t2v_1_M_20251224_153000_t2v_2_M_20251225_153000", "cat_t2v_1_M_20251224_153000"),
        ] {
            #expect(OutputName.stem(ofFilm: base) == stem, "\(base)")
        }
        for name in [
            "", "cat", "t2v_42_M_20251224_153000", "cat_t2v_42_20251224_153000", "cat_t2v_x_M_20251224_153000",
            "cat_T2V_42_M_20251224_153000", "cat_t2v_42_M_20251224_15300", "cat_t2v_42_M_2025122_153000",
        ] {
            #expect(OutputName.stem(ofFilm: name) == nil, "\(name)")
        }
    }
}
