/// Characters that occur where UTF-8 was read as a single-byte encoding, by the part they play.
///
/// Source: ftfy 6.3.1 (Apache-2.0) ftfy/badness.py `MOJIBAKE_CATEGORIES`, ftfy/chardata.py `UTF8_CLUES`.
enum MojibakeCharacters {
    static let common = "\u{A0}\u{AD}´·–—―’…"
    static let bad = "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊�"
    static let law = "§¶"
    static let currency = "¢£¥₧€"
    static let startPunctuation = "¡©«¿΄΅‘‚“„•‹\u{F8FF}"
    static let endPunctuation = "®»˝”›™"
    static let numeric = "±²³µ¹¼½¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥"
    static let kaomoji = "°ÒÓÔÕÖÙÚÛÜòóôõöøùúûüŌŐŪŲ"
    static let upperAccented = "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"
    static let lowerAccented = "ßàáâãäåæçèéêëìíîïðñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ"
    static let upperCommon =
        "ÞΆΈΉΊΌΎΏΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ΢ΣΤΥΦΧΨΩΪΫЁЂЃЄЅІЇЈЉЊЋЌЍЎЏАБВГДЕЖЗИЙКЛМНОПРСТУ"
        + "ФХЦЧШЩЪЫЬЭЮЯ"
    static let lowerCommon =
        "άέήίΰαβγδεζηθικλμνξοπρςστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяѐёђѓєѕії"
        + "јљњћќѝўџ"
    static let box = "│┌┐┘├┤┬┼═║╒╓╔╕╖╗╘╙╚╛╜╝╞╟╠╡╢╣╤╥╦╧╨╩╪╫╬▀▄█▌▐░▒▓"
    static let leadOf2 =
        "ÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßĀĂĆČĎĐĒĖĘĚĞĢĪİĶĹĻŁŃŅŇŌŐŘŚŞŠŢŪŮŰŲŹŻŽΒΓΔΕΖ"
        + "ΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫάέήίВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
    static let leadOf3 = "àáâãäåæçèéêëìíîïāăąćčďēėęěģīįķĺļŕźΰαβγδεζηθικλμνξοабвгдежзийклмноп"
    static let leadOf4 = "ðóđğšπσру"
    static let continuation =
        "\u{20}ÆØæøĄąĽľŁłŒœŖŗŚśŞşŠšŤťŸŹźŻżŽžƒˆˇ˘˛˜˝΄΅ΆΈΉΊΌΎΏЁЂЃЄЅІЇЈЉЊЋЌЎЏёђѓєѕіїјљњ"
        + "ћќўџҐґ–—―‘’‚“”„†‡•…‰‹›€№™"
    static let continuationStrict =
        "ÆØæøĄąĽľŁłŒœŖŗŚśŞşŠšŤťŸŹźŻżŽžƒˆˇ˘˛˜˝΄΅ΆΈΉΊΌΎΏЁЂЃЄЅІЇЈЉЊЋЌЎЏёђѓєѕіїјљњћ"
        + "ќўџҐґ†‡‰‹›€№™"
}
