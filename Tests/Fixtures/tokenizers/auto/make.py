"""Writes folders of a tokenizer, and the ids that transformers' AutoTokenizer (5.24) gives texts with each.

    python make.py

The files of a tokenizer.json, tokenizer_config.json and config.json in many combinations: classes that build their own
components, legacy, add_prefix_space, add_bos_token, tokens named in one file only.
"""
import json, os, tempfile
os.environ["TRANSFORMERS_VERBOSITY"]="error"; os.environ["HF_HUB_OFFLINE"]="1"
from transformers import AutoTokenizer
BYTES = {f"<0x{b:02X}>": b + 3 for b in range(256)}
vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | BYTES | {"▁": 259, "a": 260, "▁a": 261, "b": 262, "ab":263, "▁ab":264,"x":265}
merges=["▁ a","a b","▁ ab"]
def added(id, content, **f):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} | f
def bpe(v,m,**k):
    return {"type":"BPE","dropout":None,"unk_token":None,"continuing_subword_prefix":None,"end_of_word_suffix":None,"fuse_unk":False,"byte_fallback":False,"ignore_merges":False,"vocab":v,"merges":m}|k
def template(pre,post=()):
    return {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":p,"type_id":0}} for p,_ in pre]+[{"Sequence":{"id":"A","type_id":0}}]+[{"SpecialToken":{"id":p,"type_id":0}} for p,_ in post],
     "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{p:{"id":p,"ids":[i],"tokens":[p]} for p,i in list(pre)+list(post)}}
llama={"version":"1.0","truncation":None,"padding":None,"added_tokens":[added(0,"<unk>"),added(1,"<s>"),added(2,"</s>"),added(266,"<x>",special=False,normalized=True)],
 "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},
 "pre_tokenizer":None,"post_processor":template([("<s>",1)]),
 "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
 "model":bpe(vocab,merges,unk_token="<unk>",fuse_unk=True,byte_fallback=True)}
bl={"type":"ByteLevel","add_prefix_space":False,"trim_offsets":True,"use_regex":True}
v2={c:i for i,c in enumerate(["<|endoftext|>","a","b","Ġ","ab","Ġa","Ã","©","Ċ","x","1","2","Ģ"])}
gpt={"version":"1.0","truncation":None,"padding":None,"added_tokens":[added(0,"<|endoftext|>")],"normalizer":None,"pre_tokenizer":bl,"post_processor":None,"decoder":bl,"model":bpe(v2,["a b","Ġ a"])}
T=["ab a","  ab<s>a b</s> a","<x>ab <x> a","é 漢","a<extra>b <named> a","","<|endoftext|>ab 12x","e\u0301 a","ab<pad>  <more>a", "<plain> a<plain>b"]
def tok(c,**f): return {"content":c,"lstrip":False,"rstrip":False,"normalized":False,"single_word":False,"special":True}|f
named={"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>"}
C={}
def case(name,tj,tc,cfg,extra={}): C[name]={"files":{"tokenizer.json":tj,"config.json":cfg}|({"tokenizer_config.json":tc} if tc is not None else {})|extra}
L={"model_type":"llama"}; M={"model_type":"mistral"}; Q={"model_type":"qwen2"}; G={"model_type":"gpt2"}; N={"model_type":"olmo"}
for cl in ["LlamaTokenizer","LlamaTokenizerFast"]:
  for legacy in [None,True,False]:
    for aps in [None,True,False]:
      tc={"tokenizer_class":cl}|named
      if legacy is not None: tc["legacy"]=legacy
      if aps is not None: tc["add_prefix_space"]=aps
      case(f"{cl}-{legacy}-{aps}",llama,tc,L)
case("llama-bos-eos",llama,{"tokenizer_class":"LlamaTokenizer","add_bos_token":False,"add_eos_token":True}|named,L)
case("llama-nopost",llama|{"post_processor":None},{"tokenizer_class":"LlamaTokenizer","add_bos_token":True,"add_eos_token":True}|named,L)
case("llama-decoder",llama,{"tokenizer_class":"LlamaTokenizerFast","added_tokens_decoder":{"0":tok("<unk>"),"1":tok("<s>"),"2":tok("</s>",lstrip=True),"300":tok("<extra>",special=False),"299":tok("<plain>",special=False,normalized=True)}}|named,L)
case("llama-fast-own",llama,{"tokenizer_class":"PreTrainedTokenizerFast"}|named,L)
case("llama-none",llama,None,L)
case("llama-map",llama,None,L,{"special_tokens_map.json":{"bos_token":tok("<s>"),"additional_special_tokens":["<extra>","<more>"],"pad_token":"<pad>"}})
case("llama-added-file",llama,{"tokenizer_class":"LlamaTokenizer"}|named,L,{"added_tokens.json":{"<extra>":270,"<pad>":267}})
case("mistral-llama",llama,{"tokenizer_class":"LlamaTokenizer","legacy":False,"add_prefix_space":True}|named,M)
case("mistral-decoder",llama,{"tokenizer_class":"LlamaTokenizer","added_tokens_decoder":{"0":tok("<unk>"),"1":tok("<s>",rstrip=True),"267":tok("<extra>",single_word=True)},"pad_token":"<pad>","additional_special_tokens":["<more>"]}|named,M)
case("own-extra",llama,{"tokenizer_class":"PreTrainedTokenizerFast","extra_special_tokens":{"image_token":"<extra>","other":"<named>"},"pad_token":"<pad>","additional_special_tokens":["<more>"]}|named,M)
case("own-extra-list",llama,{"tokenizer_class":"PreTrainedTokenizerFast","extra_special_tokens":["<extra>","<named>"],"mask_token":"<plain>","image_token":"<more>"}|named,M)
case("own-dict",llama,{"tokenizer_class":"PreTrainedTokenizerFast","bos_token":{"__type":"AddedToken"}|tok("<s>",lstrip=True),"pad_token":{"__type":"AddedToken"}|tok("<pad>",lstrip=True,normalized=True)},M)
case("own-bos",llama|{"post_processor":None},{"tokenizer_class":"PreTrainedTokenizerFast","add_bos_token":True}|named,M)
case("gpt",gpt,{"tokenizer_class":"GPT2Tokenizer","add_prefix_space":True,"additional_special_tokens":["<extra>"]},G)
case("gpt-fast",gpt,{"tokenizer_class":"GPT2TokenizerFast","add_bos_token":True,"pad_token":"<pad>"},G)
case("gpt-none",gpt,None,G)
case("gpt-llama-type",gpt,{"tokenizer_class":"GPT2Tokenizer","add_prefix_space":True},L)
case("gpt-mistral-type",gpt,{"tokenizer_class":"GPT2Tokenizer","add_prefix_space":True},M)
case("bytes-llama",gpt,{"tokenizer_class":"LlamaTokenizerFast","add_bos_token":True,"bos_token":"<s>"},L)
case("qwen",gpt,{"tokenizer_class":"Qwen2Tokenizer","added_tokens_decoder":{"0":tok("<|endoftext|>"),"13":tok("<extra>",special=False)},"additional_special_tokens":["<extra>","<more>"],"pad_token":"<|endoftext|>"},Q)
case("qwen-none",gpt,None,Q)
case("qwen-wrong",gpt,{"tokenizer_class":"GPT2Tokenizer","add_prefix_space":True},Q)
case("qwen3-gpt",gpt,{"tokenizer_class":"GPT2Tokenizer","add_prefix_space":True},{"model_type":"qwen3"})
case("neox",gpt,{"tokenizer_class":"GPTNeoXTokenizer"},N)
case("neox-template",gpt|{"post_processor":template([("<|endoftext|>",0)])},{"tokenizer_class":"GPTNeoXTokenizerFast","add_prefix_space":True},N)
case("olmo-none",gpt,None,N)
case("unknown-class",llama,{"tokenizer_class":"NoSuchTokenizer","pad_token":"<pad>"},M)
case("model-class",gpt,{"eos_token":"<extra>"},{"model_type":"llama","tokenizer_class":"GPT2Tokenizer"})
bases = {}
cases = []
for name, case in C.items():
    with tempfile.TemporaryDirectory() as folder:
        for file, content in case["files"].items():
            with open(os.path.join(folder, file), "w") as f:
                json.dump(content, f)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False), "special": tokenizer.encode(text)}
             for text in T]
    lists = [entry["special"] for entry in texts] + [[261, 260, 262, 266, 267, 268, 1, 5]]
    backend = tokenizer.backend_tokenizer
    file = json.dumps(case["files"].pop("tokenizer.json"))
    bases.setdefault(file, f"tokenizer {len(bases)}")
    cases.append({
        "name": name, "tokenizer": bases[file], "files": case["files"], "class": type(tokenizer).__name__,
        "bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "texts": texts,
        "decoded": [{"ids": ids, "text": backend.decode(ids, skip_special_tokens=True)} for ids in lists]})
tokenizers = {name: json.loads(file) for file, name in bases.items()}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.json"), "w") as f:
    f.write('{"tokenizers": ' + json.dumps(tokenizers) + ',\n"cases": [\n')
    f.write(",\n".join(json.dumps(case) for case in cases) + "\n]}\n")
