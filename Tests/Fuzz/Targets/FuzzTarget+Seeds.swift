extension FuzzTarget {
    /// Sound inputs to begin with.
    public var seeds: [[UInt8]] {
        switch self {
        case .safetensors: Self.safetensorsSeeds
        case .pickle: Self.pickles
        case .archive: Self.pickles.map { Archive(pickle: $0).bytes }
        case .rule:
            Self.rules.map { Array($0.utf8) } + [[0xFF, 0xFE] + Self.rules[0].utf16.flatMap { little(Int($0), 2) }]
        case .prompt: Self.prompts.map { Array($0.utf8) }
        case .jpeg: Self.jpegs
        case .png: Self.pngs
        case .film: [Self.shortFilm]
        case .sound: Self.sounds
        }
    }

    /// Pieces that the format gives a meaning to.
    public var tokens: [[UInt8]] {
        let numbers = [
            [0], [0xFF], [0x7F], [0x80], [0, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF], little(-1, 8), big(1 << 31, 4),
        ]
        let words: [String]
        switch self {
        case .safetensors:
            words = [
                "{", "}", "[", "]", ",", ":", "\"", "\\u0041", "\\", "\"dtype\"", "\"F32\"", "\"BF16\"", "\"F8_E4M3\"",
                "\"I64\"", "\"shape\"", "\"data_offsets\"", "\"__metadata__\"", "[0,0]", "18446744073709551616", "-1",
                "1e9", "null",
            ]
        case .pickle, .archive:
            words = [
                "(", "t", "R", "Q", ".", "}", "]", "u", "s", "a", "e", "0", "1", "2", "l", "d", "N", "K\u{1}", "q\u{0}",
                "h\u{0}", "ctorch._utils\n_rebuild_tensor_v2\n", "ctorch\nFloatStorage\n",
                "ccollections\nOrderedDict\n", "cos\nsystem\n", "PK\u{1}\u{2}", "PK\u{5}\u{6}", "PK\u{6}\u{6}",
            ]
        case .rule, .prompt:
            words = [
                "\"", "'", "\"\"\"", "'''", "[", "]", ",", "=", ":", "#", "\\", "\\u", "\\U0010FFFF", "\n", "\r\n",
                "---", "steps", "seed", "prompt", "random", "\u{201C}", "\u{FEFF}", "640x352", "16:9", "1e999",
                "99999999999999999999", "variations = 5", "{stem}", "true", "5 min",
            ]
        case .jpeg: words = ["Exif\u{0}\u{0}", "MM\u{0}*", "II*\u{0}", "JFIF"]
        case .png: words = ["IHDR", "IDAT", "IEND", "tRNS", "eXIf", "MM\u{0}*", "II*\u{0}"]
        case .film:
            words = [
                "ftyp", "moov", "trak", "mdia", "minf", "stbl", "stsd", "stsz", "stts", "avc1", "avcC", "colr", "meta",
                "keys", "ilst", "udta", "uuid", "mdat", "hdlr", "vide",
            ]
        case .sound:
            words = [
                "RIFF", "WAVE", "fmt ", "data", "LIST", "ID3\u{3}", "APIC", "Xing", "Info", "VBRI", "LAME", "ftyp",
                "moov",
                "trak", "mdia", "hdlr", "soun", "minf", "dref", "alis", "stbl", "stsd", "mp4a", "esds", "alac", "sowt",
                "stts", "stsc", "stsz", "stco", "co64", "edts", "elst", "moof", "traf", "trun", "mdat", "meta", "covr",
            ]
        }
        let markers: [[UInt8]] = self == .jpeg ? [[0xFF, 0xC0], [0xFF, 0xC2], [0xFF, 0xE1], [0xFF, 0xDA]] : []
        return numbers + markers + words.map { Array($0.utf8) }
    }

    // MARK: Checkpoints

    private static let safetensorsSeeds: [[UInt8]] = [
        #"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#,
        #"{"__metadata__":{"a":"\u00e9\n"},"w":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},"#
            + #""v":{"data_offsets":[8,24],"shape":[2],"dtype":"I64"}}   "#,
    ].map { little($0.utf8.count, 8) + Array($0.utf8) + [UInt8](repeating: 0x3F, count: 24) }

    private static let pickles: [[UInt8]] = {
        func text(_ word: String) -> [UInt8] { [0x58] + little(word.utf8.count, 4) + Array(word.utf8) }
        let storage =
            Array("((".utf8) + text("storage") + Array("ctorch\nFloatStorage\n".utf8) + text("0") + text("cpu")
            + Array("K".utf8) + [6] + Array("tQ".utf8)
        let shape = Array("K".utf8) + [0] + Array("(K".utf8) + [2] + Array("K".utf8) + [3] + Array("t(K".utf8) + [3]
        let rest = Array("K".utf8) + [1, 0x74, 0x89] + Array("ccollections\nOrderedDict\n)Rt".utf8)
        let tensor = Array("ctorch._utils\n_rebuild_tensor_v2\n".utf8) + storage + shape + rest + [0x52]
        let small = [0x80, 2, 0x7D, 0x71, 0] + text("w") + tensor + Array("s.".utf8)
        let nested =
            [0x80, 2, 0x7D, 0x28] + text("iteration") + [0x4A, 7, 0, 0, 0] + text("state_dict") + [0x7D, 0x71, 1]
            + text("net.w") + tensor + [0x73] + text("note") + [0x4E] + Array("u.".utf8)
        return [small, nested]
    }()

    // MARK: Texts

    private static let rules = [
        "steps = 2\nseed = [1, 2,\n 3]\nprompt = \"a\\u00e9\" # c\naspect_ratio: 16x9\n",
        "prompt = \"\"\"\nx \\\n y\"\"\"\nsampler = \u{201C}ode\u{201D}\nsla_topk = 0.1\n",
        "model = Wan\nresolution = 480p\nframes = 81\nfps = 16\nvariations = 3\npriority = 5\nafter = keep\n",
        "quant_linear = yes\nsla_topk = 0.1\nattention = sagesla\ncrf = 18\n",
    ]

    private static let prompts = [
        "a cat walks over a meadow\n", "---\nsteps = 1\nseed = 7\n---\na cat\n# x\nfoo = 'b'\n",
        "steps = 4\r\n---\r\na dog\r\nand another\r\n", "\u{FEFF}# list\none\ntwo\n\nthree\n",
    ]

    // MARK: Media; without the signature, which is put in front of every input

    private static let tiff =
        Array("II*\u{0}".utf8) + little(8, 4) + little(1, 2) + little(274, 2) + little(3, 2)
        + little(1, 4) + little(6, 4) + little(0, 4)

    private static let jpegs: [[UInt8]] = {
        // After FF D8 FF.
        let jfif: [UInt8] = [0xE0] + big(16, 2) + Array("JFIF\u{0}".utf8) + [1, 1, 0, 0, 1, 0, 1, 0, 0]
        let exif: [UInt8] = [0xE1] + big(8 + tiff.count, 2) + Array("Exif\u{0}\u{0}".utf8) + tiff
        func frame(_ marker: UInt8) -> [UInt8] {
            [0xFF, marker] + big(17, 2) + [8] + big(47, 2) + big(61, 2) + [3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]
        }
        return [jfif + frame(0xC0), exif + frame(0xC2), jfif + [0xFF] + exif + [0xFF, 0xDD, 0, 4, 0, 1] + frame(0xC0)]
    }()

    private static let pngs: [[UInt8]] = {
        func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
            big(data.count, 4) + Array(type.utf8) + data + [1, 2, 3, 4]
        }
        func header(_ depth: UInt8, _ color: UInt8, _ interlace: UInt8) -> [UInt8] {
            chunk("IHDR", big(61, 4) + big(47, 4) + [depth, color, 0, 0, interlace])
        }
        let end = chunk("IDAT", [0x78, 1]) + chunk("IEND", [])
        return [
            header(8, 2, 0) + end, header(16, 6, 1) + chunk("gAMA", big(45_455, 4)) + chunk("eXIf", tiff) + end,
            header(4, 3, 0) + chunk("PLTE", [1, 2, 3, 4, 5, 6]) + chunk("tRNS", [0, 255]) + end,
        ]
    }()

    private static let shortFilm: [UInt8] = {
        func box(_ type: String, _ data: [UInt8]...) -> [UInt8] {
            let content = data.flatMap { $0 }
            return big(content.count + 8, 4) + Array(type.utf8) + content
        }
        let zero = big(0, 4)
        let handler = box("hdlr", zero, zero, Array("vide".utf8), big(0, 13))
        let sample = box(
            "avc1", big(0, 6), big(1, 2), big(0, 16), big(64, 2), big(36, 2), big(0x0048_0000, 4), big(0x0048_0000, 4),
            zero, big(1, 2), big(0, 32), big(24, 2), big(0xFFFF, 2),
            box("avcC", [1, 100, 0, 31, 0xFF, 0xE1]), box("colr", Array("nclx".utf8), [0, 1, 0, 1, 0, 1, 0]))
        let table = box(
            "stbl", box("stsd", zero, big(1, 4), sample), box("stts", zero, big(1, 4), big(5, 4), big(1_024, 4)),
            box("stsz", zero, zero, big(5, 4), big(0, 20)))
        let clock = box("mdhd", zero, zero, zero, big(16_384, 4), big(5_120, 4), zero)
        let track = box("trak", box("tkhd", big(0, 84)), box("mdia", clock, handler, box("minf", table)))
        let key = box("keys", zero, big(1, 4), big(16, 4), Array("mdtadropreel".utf8))
        let value = box("ilst", big(26, 4), big(1, 4), big(18, 4), Array("data".utf8), big(1, 4), zero, [0x7B, 0x7D])
        let keyHandler = box("hdlr", zero, zero, Array("mdta".utf8), big(0, 13))
        let movie = box("moov", box("mvhd", big(0, 100)), track, box("meta", keyHandler, key, value))
        return box("ftyp", Array("isom".utf8), big(512, 4), Array("isommp41".utf8)) + movie + box("mdat", [1, 2, 3, 4])
    }()
}
