import Foundation

/// What a film says about itself.
public struct VideoMarks: Equatable, Sendable {
    /// Human-readable parameters.
    public var comment: String
    /// The job as JSON.
    public var dropreel: String
    /// The label of generated content, as JSON (see `AIGCLabel`).
    public var aigc: String
    /// The XMP packet (see `SyntheticMediaXMP`).
    public var xmp: String

    public init(comment: String, dropreel: String, aigc: String, xmp: String) {
        self.comment = comment
        self.dropreel = dropreel
        self.aigc = aigc
        self.xmp = xmp
    }

    /// Bytes that a mark may hold; `VideoMetadata` reads no more.
    static let byteLimit = 1 << 20

    /// - Throws: `MediaError` with code `.unsupported` that names the mark.
    func validate() throws {
        for (name, text) in [("comment", comment), ("dropreel", dropreel), ("AIGC", aigc), ("XMP", xmp)] {
            guard !text.isEmpty, text.utf8.count <= Self.byteLimit, !text.utf8.contains(0) else {
                throw MediaError(
                    .unsupported, "the film's \(name) cannot be written: it is empty, too long, or holds a NUL",
                    hint: "use 1 to \(Self.byteLimit) bytes of text")
            }
        }
    }
}

/// The implicit label that generated content carries in its file metadata under the key `AIGC`.
///
/// Source: GB 45438-2025, annex E.
public struct AIGCLabel: Codable, Equatable, Sendable {
    /// "1": is generated; "2": may be; "3": is suspected to be.
    public var label: String
    /// Who made the content: name or code of the provider.
    public var contentProducer: String
    /// The content's number with its producer.
    public var produceID: String
    /// For the producer's use, such as a digest.
    public var reservedCode1: String
    /// Who passes the content on.
    public var contentPropagator: String
    /// The content's number with its propagator.
    public var propagateID: String
    /// For the propagator's use.
    public var reservedCode2: String

    enum CodingKeys: String, CodingKey {
        case label = "Label"
        case contentProducer = "ContentProducer"
        case produceID = "ProduceID"
        case reservedCode1 = "ReservedCode1"
        case contentPropagator = "ContentPropagator"
        case propagateID = "PropagateID"
        case reservedCode2 = "ReservedCode2"
    }

    public init(
        label: String = "1", contentProducer: String, produceID: String, reservedCode1: String = "",
        contentPropagator: String = "", propagateID: String = "", reservedCode2: String = ""
    ) {
        self.label = label
        self.contentProducer = contentProducer
        self.produceID = produceID
        self.reservedCode1 = reservedCode1
        self.contentPropagator = contentPropagator
        self.propagateID = propagateID
        self.reservedCode2 = reservedCode2
    }

    /// One line of JSON with sorted keys, the same for the same label.
    public var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}

/// An XMP packet that says that the film was made by a trained model.
///
/// Source: XMP specification part 1, section 7; IPTC Photo Metadata Standard, "Digital Source Type".
public enum SyntheticMediaXMP {
    /// How a film came about.
    public enum DigitalSourceType: String, CaseIterable, Sendable {
        /// By a trained model alone.
        case trainedAlgorithmicMedia
        /// By a trained model from something else, such as a photograph.
        case compositeWithTrainedAlgorithmicMedia

        public var address: String { "http://cv.iptc.org/newscodes/digitalsourcetype/" + rawValue }
    }

    /// - Parameter creatorTool: the program and its version.
    public static func packet(
        creatorTool: String, digitalSourceType: DigitalSourceType = .trainedAlgorithmicMedia
    ) -> String {
        """
        <?xpacket begin="\u{FEFF}" id="W5M0MpCehiHzreSzNTczkc9d"?>
        <x:xmpmeta xmlns:x="adobe:ns:meta/">
        <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
        <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" \
        xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
        <xmp:CreatorTool>\(escaped(creatorTool))</xmp:CreatorTool>
        <Iptc4xmpExt:DigitalSourceType>\(digitalSourceType.address)</Iptc4xmpExt:DigitalSourceType>
        </rdf:Description>
        </rdf:RDF>
        </x:xmpmeta>
        <?xpacket end="r"?>
        """
    }

    private static func escaped(_ text: String) -> String {
        let allowed = text.unicodeScalars.filter { $0.value >= 0x20 || $0 == "\t" || $0 == "\n" }
        return String(String.UnicodeScalarView(allowed))
            .replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}
